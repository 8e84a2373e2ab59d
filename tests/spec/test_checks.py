"""What `steerctl check` sees before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steerctl.errors import SpecError
from steerctl.spec.checks import check_spec, require_ready
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.generator import VllmGenerator
from steerctl.spec.load import load_spec
from steerctl.spec.machine import Machine

CPU = Machine(cores=2, gpus=0, cpu_bfloat16=False, wandb_login=False)
GPUS = Machine(cores=64, gpus=8, cpu_bfloat16=True, wandb_login=True)


@pytest.fixture
def model(tmp_path: Path):
    """A model folder with the given configuration; by default one that nothing is wrong with."""

    def make(**changes: object) -> str:
        config = {"head_dim": 64, "tie_word_embeddings": False, "max_position_embeddings": 32768} | changes
        (tmp_path / "config.json").write_text(json.dumps(config))
        return str(tmp_path)

    return make


@pytest.fixture
def found(write, model, tmp_path: Path):
    """Findings of the valid experiment with overrides, as "level path: text"."""
    (tmp_path / "problems.parquet").touch()

    def look(*overrides: str, machine: Machine | None = CPU) -> list[str]:
        fixed = [f"policy.model={model()}", f"data.train.path={tmp_path / 'problems.parquet'}"]
        spec = load_spec(write(), [*fixed, *overrides]).spec
        return [f"{finding.level} {finding.path}: {finding.text}" for finding in check_spec(spec, machine)]

    return look


def test_nothing_is_wrong_with_the_valid_experiment(found) -> None:
    assert found() == []
    assert found(machine=None) == []
    assert found(machine=GPUS) == []


@pytest.mark.parametrize(
    ("overrides", "begins", "says"),
    [
        (["rollout.group_size=1"], "error rollout.group_size", "needs 2 or more of them, got 1"),
        (
            ["rollout.group_size=4", "algorithm.advantage={kind: pass_at_k, k: 4}"],
            "error rollout.group_size",
            "needs 5 or more",
        ),
        (
            ["algorithm.interventions=[{kind: probability_clip, total_steps: 7}]"],
            "warning algorithm.interventions.0",
            "over after total_steps 7",
        ),
        (
            ["rollout.group_size=1", "rollout.dynamic_sampling={}", "algorithm.advantage.kind=reinforce_pp"],
            "error rollout.dynamic_sampling",
            "every group would be replaced",
        ),
        (["reward.incorrect=2"], "warning reward.correct", "training to be wrong"),
        (["algorithm.reduction=constant_norm"], "note algorithm.constant_norm_length", "rollout.max_tokens (48)"),
        (["algorithm.constant_norm_length=9"], "warning algorithm.constant_norm_length", "not read with"),
        (["rollout.top_p=0.9"], "warning rollout.top_p", "cuts the distribution"),
        (["rollout.top_k=5"], "warning rollout.top_k", "cuts the distribution"),
        (["reward.overlong={cache_tokens: 48}"], "warning reward.overlong.cache_tokens", "every response"),
        (["validate_every=5"], "error validate_every", "no data.validation"),
        (
            ["analysis.probe={influence: true, first_order: false}", "policy.dtype=bfloat16"],
            "error analysis.probe.influence",
            "needs policy.dtype float32",
        ),
        (
            ["analysis.probe={}", "policy.dtype=bfloat16"],
            "error analysis.probe.first_order",
            "lost in bfloat16 weights; set it to false",
        ),
        (["analysis.probe.every=1000"], "note analysis.probe.every", "only the first is looked at"),
        (
            ["analysis.probe={sequences: 2, positions: 97}"],
            "note analysis.probe.positions",
            "2 responses have at most 96 tokens",
        ),
        (["data.train.path=/nowhere/x.parquet"], "error data.train", "/nowhere/x.parquet"),
        (["engine.hostfile=/nowhere/hosts"], "error engine.hostfile", "/nowhere/hosts"),
        (["policy.model=/nowhere/model"], "error policy.model", "no folder /nowhere/model"),
        (["data.max_prompt_tokens=32760"], "warning data.max_prompt_tokens", "up to 32808 tokens"),
        (["engine.offload_optimizer=true"], "error engine.offload_optimizer", "GPU"),
        (["engine.device=cuda"], "error engine.device", "no CUDA device"),
        (["engine.device=cuda", "engine.ranks=4"], "error engine.device", "no CUDA device"),
        (["engine.device=cuda", "engine.ranks=4"], "error engine.ranks", "4 ranks need a GPU each"),
        (["engine.ranks=2", "engine.threads_per_rank=2"], "warning engine.threads_per_rank", "2 cores"),
        (["engine.ranks=3"], "note engine.ranks", "do not divide evenly"),
        (["engine.ranks=200", "engine.threads_per_rank=1"], "warning engine.ranks", "nothing to do"),
        (["policy.dtype=bfloat16"], "note policy.dtype", "no bfloat16"),
        (["log.wandb=online"], "warning log.wandb", "WANDB_API_KEY"),
        (["steps=2", "optim.warmup_updates=8"], "warning optim.warmup_updates", "8 updates"),
    ],
)
def test_on_a_cpu(found, overrides: list[str], begins: str, says: str) -> None:
    hits = [line for line in found(*overrides) if line.startswith(f"{begins}: ")]
    assert len(hits) == 1
    assert says in hits[0]


@pytest.mark.parametrize(
    ("overrides", "begins"),
    [
        (["engine.ranks=16"], "error engine.ranks: 16 ranks need a GPU each, this machine has 8"),
        (
            ["engine.offload_optimizer=true", "engine.zero_stage=1"],
            "error engine.offload_optimizer: needs zero_stage 2",
        ),
        (
            ["engine.offload_parameters=true", "engine.zero_stage=2"],
            "error engine.offload_parameters: needs zero_stage 3",
        ),
    ],
)
def test_on_gpus(found, overrides: list[str], begins: str) -> None:
    (line,) = found(*overrides, machine=GPUS)
    assert line.startswith(begins)


def test_what_is_right_on_gpus_is_not_complained_about(found) -> None:
    settings = ["engine.ranks=8", "engine.threads_per_rank=4", "engine.offload_optimizer=true", "policy.dtype=bfloat16"]
    assert found(*settings, machine=GPUS) == []
    assert found("engine.device=cuda", *settings, machine=None) == []


def test_a_hostfile_answers_for_the_gpus(found, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("a slots=8\nb slots=8\n")
    assert found("engine.ranks=16", f"engine.hostfile={hosts}", machine=GPUS) == []


@pytest.mark.parametrize("kind", ["clip_higher"])
def test_interventions_that_need_a_ratio(found, kind: str) -> None:
    once = found("optim.updates_per_step=1", "algorithm.interventions=[{kind: kl}, {kind: " + kind + "}]")
    (line,) = once
    assert line.startswith(f"warning algorithm.interventions.1: {kind} does nothing with optim.updates_per_step 1")
    assert found("optim.updates_per_step=2", "algorithm.interventions=[{kind: " + kind + "}]") == []


def test_asymmetric_bounds_with_one_update(found) -> None:
    (line,) = found("optim.updates_per_step=1", "algorithm.loss.clip_ratio_high=0.28")
    assert line.startswith("note algorithm.loss: clip bounds are never reached")


def test_validation_on_the_training_data(found, tmp_path: Path) -> None:
    same = "data.validation={kind: verl, path: " + str(tmp_path / "problems.parquet") + "}"
    assert found(same) == [
        "warning data.validation: is the training data: its accuracy says nothing about other problems",
        "note data.validation: is never measured: validate_every is 0",
    ]


def with_vllm(spec: ExperimentSpec, **settings) -> ExperimentSpec:
    """The experiment with vLLM servers."""
    generator = VllmGenerator(**settings)
    return spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"generator": generator})})


@pytest.mark.parametrize(("head_dim", "level"), [(16, "error"), (48, "error"), (32, None), (128, None)])
def test_heads_that_vllm_on_a_cpu_cannot_serve(write, model, head_dim: int, level: str | None) -> None:
    overrides = [f"policy.model={model(head_dim=head_dim)}", "engine.device=cpu"]
    spec = with_vllm(load_spec(write(), overrides).spec)
    hits = [each for each in check_spec(spec, CPU) if each.path == "policy.model"]
    assert [each.level for each in hits] == ([level] if level else [])
    assert all("32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512" in each.text for each in hits)
    on_gpu = with_vllm(load_spec(write(), [overrides[0]]).spec)
    assert [each for each in check_spec(on_gpu, GPUS) if each.path == "policy.model"] == []


def test_an_unservable_head_is_only_a_note_for_the_embedded_generator(write, model) -> None:
    spec = load_spec(write(), [f"policy.model={model(head_dim=16)}", "engine.device=cpu"]).spec
    assert [each.level for each in check_spec(spec, CPU) if each.path == "policy.model"] == ["note"]


def test_tied_embeddings(write, model) -> None:
    spec = load_spec(write(), [f"policy.model={model(tie_word_embeddings=True)}"]).spec
    assert [each for each in check_spec(spec, CPU) if each.path == "policy.model"] == []
    (finding,) = [each for each in check_spec(with_vllm(spec), CPU) if each.path == "policy.model"]
    assert finding.level == "note"
    assert "is tied" in finding.text
    assert [each for each in check_spec(with_vllm(spec), GPUS) if each.path == "policy.model"] == []
    attached = with_vllm(spec, urls=["http://elsewhere:8000"])
    (finding,) = [each for each in check_spec(attached, GPUS) if each.path == "policy.model"]
    assert "one of urls that runs on a CPU" in finding.text


def test_a_model_that_is_not_here_may_be_tied(write) -> None:
    spec = load_spec(write(), ["policy.model=owner/name"]).spec
    (finding,) = [each for each in check_spec(with_vllm(spec), CPU) if each.path == "policy.model"]
    assert "may be tied" in finding.text


def test_require_ready_says_every_error_at_its_line(write, model) -> None:
    path = write()
    loaded = load_spec(path, [f"policy.model={model()}", "validate_every=3"])
    with pytest.raises(SpecError) as caught:
        require_ready(loaded, CPU)
    first, second = str(caught.value).splitlines()
    assert first.startswith("command line: validate_every: ")
    assert second.startswith(f"{path}:3: data.train: no such file: problems.parquet")
    ready = load_spec(path, [f"policy.model={model()}", "rollout.top_k=5"])
    assert [finding.path for finding in require_ready(ready, None)] == ["rollout.top_k"]


def test_influence_needs_a_whole_update_in_float32(found) -> None:
    steer = "algorithm.interventions=[{kind: steer, estimator: influence, scope: SCOPE}]"
    assert found(steer.replace("SCOPE", "update")) == []
    (line,) = found(steer.replace("SCOPE", "micro_batch"))
    assert line.startswith("error algorithm.interventions.0: estimator influence needs scope update")
    assert "error policy.dtype: estimator influence needs float32" in " ".join(
        found(steer.replace("SCOPE", "update"), "policy.dtype=bfloat16")
    )
