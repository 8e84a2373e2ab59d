from pathlib import Path

import pytest

from steerctl.spec.load import load_spec
from steerctl.spec.machine import Machine
from steerctl.spec.serving import serving

CPU = Machine(cores=2, gpus=0, cpu_bfloat16=False, wandb_login=False)
QUICKSTART = Path(__file__).resolve().parents[2] / "experiments" / "quickstart" / "grpo.yaml"


def gpus(count: int) -> Machine:
    return Machine(cores=32, gpus=count, cpu_bfloat16=False, wandb_login=False)


def found(settings: str, machine: Machine | None, *more: str) -> list[tuple[str, str, str]]:
    overrides = [f"rollout.generator={{kind: vllm, {settings}}}", *more]
    spec = load_spec(str(QUICKSTART), overrides).spec
    return [(each.level, each.path, each.text) for each in serving(spec, machine)]


@pytest.mark.parametrize("transport", ["nccl", "ipc"])
def test_memory_transports_are_refused_without_a_gpu(transport: str) -> None:
    text = f"{transport} moves weights between GPUs and there are none; use transport: disk"
    expected = [("error", "rollout.generator.transport", text)]
    assert found(f"transport: {transport}", CPU) == expected
    assert found(f"transport: {transport}", None, "engine.device=cpu") == expected


def test_sleep_is_refused_without_a_gpu() -> None:
    ((level, path, text),) = found("colocate: sleep", CPU)
    assert (level, path) == ("error", "rollout.generator.colocate")
    assert "vLLM ignores it on a CPU" in text
    assert found("colocate: sleep", gpus(1)) == []


def test_disk_runs_anywhere() -> None:
    assert found("servers: 2", CPU) == found("servers: 2", gpus(1)) == found("servers: 2", None) == []


def test_a_broadcast_needs_gpus_apart_from_the_trainers() -> None:
    settings = "transport: nccl, servers: 1, tensor_parallel: 2"
    assert [level for level, _, _ in found(settings, gpus(4), "engine.ranks=2")] == ["warning"]
    warning, error = found(settings, gpus(3), "engine.ranks=2")
    assert warning[0] == "warning"
    assert "has not been run on a GPU" in warning[2]
    assert error[0] == "error"
    assert "nccl needs a GPU for each of 2 ranks and 2 server processes, this machine has 3" in error[2]


def test_reading_from_a_rank_needs_a_rank_on_every_server_gpu() -> None:
    assert [level for level, _, _ in found("transport: ipc, servers: 2", gpus(2), "engine.ranks=2")] == ["warning"]
    levels = [level for level, _, _ in found("transport: ipc, servers: 2", gpus(2), "engine.ranks=1")]
    assert levels == ["warning", "error"]


def test_sleeping_servers_cannot_sample_ahead() -> None:
    ((level, path, text),) = found("colocate: sleep", gpus(1), "rollout.ahead=1")
    assert (level, path) == ("error", "rollout.generator.colocate")
    assert "cannot sample ahead" in text


def test_the_embedded_generator_is_not_looked_at() -> None:
    spec = load_spec(str(QUICKSTART), []).spec
    assert list(serving(spec, CPU)) == []
