import itertools
import json
import sys
from pathlib import Path

import pytest

from steerctl.engine.vllm.command import ServerSettings
from steerctl.errors import SpecError
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


def test_devices_are_those_that_this_process_was_given() -> None:
    """A sweep gives each cell devices of its own; the numbers of another cell's must not come out."""
    gpu = settings(on_cpu=False, tensor_parallel=2, servers=2, devices=[1, 0, 2, 3])
    assert gpu.environment(0, {"CUDA_VISIBLE_DEVICES": "4,5,6,GPU-7f"})["CUDA_VISIBLE_DEVICES"] == "5,4"
    assert gpu.environment(1, {"CUDA_VISIBLE_DEVICES": "4,5,6,GPU-7f"})["CUDA_VISIBLE_DEVICES"] == "6,GPU-7f"
    assert gpu.environment(1, {"CUDA_VISIBLE_DEVICES": ""})["CUDA_VISIBLE_DEVICES"] == "2,3"
    with pytest.raises(SpecError, match=r"no device 3 among those of CUDA_VISIBLE_DEVICES=4,5,6;"):
        gpu.environment(1, {"CUDA_VISIBLE_DEVICES": "4,5,6"})


def test_no_prompt_is_computed_in_two_steps_on_a_cpu() -> None:
    """Its seeded generator could not take a draw back, and the engine would end."""
    command = settings(on_cpu=True).command(Path("/w"), 1)
    assert "--no-enable-chunked-prefill" in command
    assert command[command.index("--max-num-batched-tokens") + 1] == "2048"
    assert "--no-enable-chunked-prefill" not in settings(on_cpu=False).command(Path("/w"), 1)


def test_the_environment_has_the_key_and_not_the_ranks() -> None:
    around = {"PATH": "/bin", "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "9", "OMP_NUM_THREADS": "8"}
    found = settings(on_cpu=True, cpu_threads=2, cpu_kvcache_gib=3).environment(0, around)
    assert found["VLLM_API_KEY"] == "secret"
    assert found["VLLM_SERVER_DEV_MODE"] == "1"
    assert (found["OMP_NUM_THREADS"], found["VLLM_CPU_KVCACHE_SPACE"]) == ("2", "3")
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT"} & set(found)
    assert found["PATH"] == "/bin"


def test_every_setting_of_the_experiment_reaches_the_server() -> None:
    gpu = settings(on_cpu=False, tensor_parallel=2, gpu_memory_utilization=0.4, eager=True, devices=[1, 3])
    pairs = dict(itertools.pairwise(gpu.command(Path("/w"), 1)))
    assert pairs["--tensor-parallel-size"] == "2"
    assert pairs["--gpu-memory-utilization"] == "0.4"
    assert pairs["--max-model-len"] == "96"
    assert pairs["--dtype"] == "float32"
    assert pairs["--seed"] == "5"
    assert "--enforce-eager" in pairs
    assert gpu.environment(0, {})["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert "CUDA_VISIBLE_DEVICES" not in settings(on_cpu=False).environment(0, {})
    assert (
        dict(itertools.pairwise(settings(on_cpu=True, tensor_parallel=2).command(Path("/w"), 1)))[
            "--tensor-parallel-size"
        ]
        == "2"
    )


def test_a_transport_from_memory_is_announced_and_only_ipc_lets_pickles_in() -> None:
    insecure = "VLLM_ALLOW_INSECURE_SERIALIZATION"
    for transport in ("nccl", "ipc"):
        found = settings(on_cpu=False, transport=transport)
        command = found.command(Path("/w"), 1)
        assert json.loads(command[command.index("--weight-transfer-config") + 1]) == {"backend": transport}
        assert (found.environment(0, {}).get(insecure) == "1") == (transport == "ipc")
    plain = settings(on_cpu=False)
    assert "--weight-transfer-config" not in plain.command(Path("/w"), 1)
    assert insecure not in plain.environment(0, {})


def test_a_server_that_is_to_sleep_is_told_at_its_start() -> None:
    assert "--enable-sleep-mode" in settings(on_cpu=False, colocate="sleep").command(Path("/w"), 1)
    assert "--enable-sleep-mode" not in settings(on_cpu=False).command(Path("/w"), 1)


def test_vllm_knows_every_option_that_is_used() -> None:
    """Its own parser, which also knows what each option may be."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    gpu = settings(on_cpu=False, transport="ipc", colocate="sleep", eager=True, tensor_parallel=2)
    command = gpu.command(Path("/w"), 4711)[3:]
    found = make_arg_parser(FlexibleArgumentParser()).parse_args(command)
    assert (found.port, found.tensor_parallel_size, found.enforce_eager) == (4711, 2, True)
    assert found.enable_sleep_mode
    assert found.weight_transfer_config.backend == "ipc"
    assert str(found.logprobs_mode) == "processed_logprobs"
