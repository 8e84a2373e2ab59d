import itertools
import sys
from pathlib import Path

from steerctl.engine.vllm.command import ServerSettings
from steerctl.spec.generator import VllmGenerator


def settings(*, on_cpu: bool, **changes) -> ServerSettings:
    return ServerSettings(
        VllmGenerator(**changes), "float32", 96, trust_remote_code=False, on_cpu=on_cpu, api_key="secret", seed=5
    )


def test_the_module_is_started_and_the_key_is_not_an_argument() -> None:
    command = settings(on_cpu=True).command(Path("/w/weights-0"), 4711)
    assert command[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    pairs = dict(itertools.pairwise(command))
    assert pairs["--host"] == "127.0.0.1"
    assert pairs["--port"] == "4711"
    assert pairs["--logprobs-mode"] == "processed_logprobs"
    assert pairs["--max-model-len"] == "96"
    assert "--enforce-eager" in command
    assert "secret" not in command


def test_what_is_for_a_gpu_is_left_out_on_a_cpu() -> None:
    gpu = settings(on_cpu=False, gpu_memory_utilization=0.5, tensor_parallel=2, servers=2, devices=[4, 5, 6, 7])
    command = gpu.command(Path("/w"), 1)
    assert "--enforce-eager" not in command
    assert command[command.index("--gpu-memory-utilization") + 1] == "0.5"
    assert gpu.environment(0, {})["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert gpu.environment(1, {})["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert "VLLM_CPU_KVCACHE_SPACE" not in gpu.environment(0, {})
    assert "--gpu-memory-utilization" not in settings(on_cpu=True).command(Path("/w"), 1)


def test_the_environment_has_the_key_and_not_the_ranks() -> None:
    around = {"PATH": "/bin", "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "9", "OMP_NUM_THREADS": "8"}
    found = settings(on_cpu=True, cpu_threads=2, cpu_kvcache_gib=3).environment(0, around)
    assert found["VLLM_API_KEY"] == "secret"
    assert found["VLLM_SERVER_DEV_MODE"] == "1"
    assert (found["OMP_NUM_THREADS"], found["VLLM_CPU_KVCACHE_SPACE"]) == ("2", "3")
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT"} & set(found)
    assert found["PATH"] == "/bin"
