"""Real DeepSpeed ranks against plain torch: statistics, weights, refusals, resume, export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from steerctl.entropy.stats import stats_from_logits
from tests.engine.toy import toy_loss, toy_update, write_toy_model

ROOT = Path(__file__).parents[2]
SAVED_AT, UPDATES = 3, 6

pytestmark = pytest.mark.engine

FAULTS = ["loss", "gradient"]
FLOAT32 = {f"stage{stage}": {"stage": stage} for stage in (0, 1, 2, 3)}
BFLOAT16 = {f"bf16_stage{stage}": {"stage": stage, "dtype": "bfloat16"} for stage in (0, 2, 3)}
TIED = {f"tied_stage{stage}": {"stage": stage, "model": "tied"} for stage in (0, 3)}
ALL = FLOAT32 | BFLOAT16 | TIED
RESUMED = [name for name in ALL if name not in ("stage1", "tied_stage0")]


@dataclass(frozen=True)
class Runs:
    """Everything the ranks left behind: reports and weights of training, and of resuming in new processes."""

    folder: Path
    trained: dict[int, dict[str, Any]]
    resumed: dict[int, dict[str, Any]]

    def weights(self, case: str, ranks: int, moment: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{case}-{ranks}-{moment}.safetensors")


def run_ranks(
    folder: Path, job: str, ranks: int, cases: list[dict[str, Any]], worker: str = "worker.py"
) -> dict[str, Any]:
    (folder / f"{job}.json").write_text(json.dumps(cases))
    code = (
        "import sys\n"
        "from steerctl.engine.launch import launch\n"
        "from steerctl.spec.experiment import EngineSpec\n"
        f"sys.exit(launch(sys.argv[1:], EngineSpec(ranks={ranks}, device='cpu'), program=[sys.executable]))\n"
    )
    command = [sys.executable, "-c", code, str(ROOT / "tests" / "engine" / worker), str(folder), job]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "", "an engine must not write to the display"
    reports: dict[str, Any] = json.loads((folder / f"{job}-{ranks}.json").read_text())
    return reports


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("ranks")
    models = {
        "plain": str(write_toy_model(folder / "plain")),
        "tied": str(write_toy_model(folder / "tied", tied=True)),
    }

    def case(name: str, **more: Any) -> dict[str, Any]:
        settings = dict(ALL[name])
        return {"name": name, **settings, "model": models[settings.pop("model", "plain")], **more}

    training = [case(name, updates=UPDATES, save_after=SAVED_AT, faults=FAULTS) for name in ALL]
    for settings in training:
        if settings["name"] in ("stage0", "stage3", "tied_stage3"):
            settings |= {"reference": True, "export": True}
    extras = [
        case("stage3") | {"name": "checkpointing", "checkpointing": True, "updates": 3},
        case("stage0") | {"name": "random0", "random_weights": True},
        case("stage3") | {"name": "random3", "random_weights": True},
    ]
    memory = case("stage3") | {"name": "memory", "updates": 10, "flat_memory": 30}
    trained = {
        1: run_ranks(folder, "train", 1, [*training, *extras, memory]),
        2: run_ranks(folder, "train", 2, [*training, *extras]),
    }

    def resume(ranks: int) -> list[dict[str, Any]]:
        same = [
            case(name, load=f"{name}-{ranks}-state", updates=UPDATES - SAVED_AT + 1) | {"name": f"{name}_resumed"}
            for name in RESUMED
        ]
        other = 3 - ranks
        moved = [
            case(f"stage{to}", load=f"stage{origin}-{other}-state") | {"name": f"stage{origin}_to_{to}"}
            for origin, to in ((3, 3), (2, 3), (3, 0))
        ]
        return same + moved

    resumed = {ranks: run_ranks(folder, "resume", ranks, resume(ranks)) for ranks in (1, 2)}
    return Runs(folder, trained, resumed)


@dataclass(frozen=True)
class Plain:
    """The same three updates in plain torch, without DeepSpeed: logits, autograd, AdamW."""

    weights: dict[str, Tensor]
    grad_norms: list[float]
    statistics: list[list[float]]


@pytest.fixture(scope="module")
def plain(runs: Runs) -> dict[str, Plain]:
    return {model: _plain_torch(runs.folder / model) for model in ("plain", "tied")}


def _plain_torch(folder: Path) -> Plain:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.1)
    norms, statistics = [], []
    for update in range(SAVED_AT):
        for batch in toy_update(update, 0, 1):
            mask = batch.loss_mask_BT
            logits = model(batch.input_ids_BT).logits
            rows = stats_from_logits(logits[mask], batch.target_ids_BT[mask], temperature=0.9)
            place = [torch.zeros(mask.shape).masked_scatter(mask, row) for row in _rows(rows)]
            statistics.append([float(tensor.detach().double().sum()) for tensor in place])
            toy_loss(_stats(place), batch).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        optimizer.param_groups[0]["lr"] = 2e-5 * min(1, (update + 1) / 2)
        optimizer.step()
        optimizer.zero_grad()
    weights = dict(model.named_parameters(remove_duplicate=False))
    return Plain({name: value.detach() for name, value in weights.items()}, norms, statistics)


def _rows(rows: Any) -> list[Tensor]:
    return [rows.logprobs_N, rows.entropy_N, rows.mean_score_N, rows.collision_N]


def _stats(place: list[Tensor]) -> Any:
    from steerctl.types import TokenStats

    return TokenStats(*place)


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", [*FLOAT32, *TIED])
def test_three_updates_equal_plain_torch(runs: Runs, plain: dict[str, Plain], case: str, ranks: int) -> None:
    expected = plain["tied" if case in TIED else "plain"]
    report = runs.trained[ranks][case]
    moved = difference(expected.weights, _initial(runs, case))
    assert moved > 2e-5
    assert difference(runs.weights(case, ranks, "saved"), expected.weights) < 1e-6
    norms = [norm for norm, _ in report["reports"][:SAVED_AT]]
    assert norms == pytest.approx(expected.grad_norms, rel=1e-5)
    if ranks == 1:
        found = torch.tensor(report["statistics"][: len(expected.statistics)])
        torch.testing.assert_close(found, torch.tensor(expected.statistics), rtol=1e-5, atol=1e-5)


def _initial(runs: Runs, case: str) -> dict[str, Tensor]:
    model = runs.folder / ("tied" if case in TIED else "plain")
    weights = load_file(model / "model.safetensors")
    return weights | ({"lm_head.weight": weights["model.embed_tokens.weight"]} if case in TIED else {})


@pytest.mark.parametrize("ranks", [1, 2])
def test_learning_rate_warms_up(runs: Runs, ranks: int) -> None:
    rates = [rate for _, rate in runs.trained[ranks]["stage3"]["reports"]]
    assert rates[:4] == pytest.approx([1e-5, 2e-5, 2e-5, 2e-5])


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ALL)
def test_measuring_gives_bit_for_bit_what_a_training_forward_gives(runs: Runs, case: str, ranks: int) -> None:
    assert runs.trained[ranks][case]["measure_equals_forward"]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", BFLOAT16)
def test_bfloat16_trains_on_float32_master_weights(runs: Runs, case: str, ranks: int) -> None:
    weights = runs.weights(case, ranks, "saved")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    # Steps of 2e-5 are lost on most bfloat16 weights; they live on in the master weights.
    master = _master(runs.folder / f"{case}-{ranks}-state")
    exact = _master(runs.folder / f"stage0-{ranks}-state")
    assert 0 < difference(master, _widened(weights)) < 1e-2
    assert difference(master, exact) < 1e-2
    assert all(torch.equal(master[name].bfloat16(), weights[name]) for name in weights)


def _widened(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in weights.items()}


def _master(folder: Path) -> dict[str, Tensor]:
    tensors = {key: value for file in folder.glob("*.safetensors") for key, value in load_file(file).items()}
    return {key.removeprefix("weight:"): value for key, value in tensors.items() if key.startswith("weight:")}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ALL)
def test_a_step_that_is_not_finite_is_refused_on_every_rank(runs: Runs, case: str, ranks: int) -> None:
    refusals = runs.trained[ranks][case]["refusals"]
    micro_batch = 5 if ranks == 1 else 3
    assert refusals["loss"] == [
        f"the loss of micro-batch {micro_batch} on rank {ranks - 1} is not finite; the update was not applied"
    ]
    assert refusals["gradient"] == ["the gradient norm is not finite; the update was not applied"]
    before, after = runs.weights(case, ranks, "end"), runs.weights(case, ranks, "after_faults")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", RESUMED)
def test_resuming_is_bit_identical(runs: Runs, case: str, ranks: int) -> None:
    saved, loaded = runs.weights(case, ranks, "saved"), runs.weights(f"{case}_resumed", ranks, "loaded")
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    # The uninterrupted run was also hit by two refused steps before its seventh update: they leave no trace.
    straight, resumed = runs.weights(case, ranks, "recovered"), runs.weights(f"{case}_resumed", ranks, "end")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert runs.resumed[ranks][f"{case}_resumed"]["reports"] == runs.trained[ranks][case]["reports"][SAVED_AT:]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("origin", "to"), [(3, 3), (2, 3), (3, 0)])
def test_another_number_of_ranks_and_another_stage_load(runs: Runs, origin: int, to: int, ranks: int) -> None:
    saved = runs.weights(f"stage{origin}", 3 - ranks, "saved")
    loaded = runs.weights(f"stage{origin}_to_{to}", ranks, "loaded")
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ["stage0", "stage3", "tied_stage3"])
def test_the_reference_stays_what_was_loaded(runs: Runs, case: str, ranks: int) -> None:
    equal = runs.trained[ranks][case]["reference_equals_policy"]
    first = len(toy_update(0, 0, ranks))
    assert equal[:first] == [True] * first
    # After four updates only the micro-batch without a trained token (all zeros) is still equal.
    assert equal[first:] == [False] * (first - 1) + [True]


@pytest.mark.parametrize("ranks", [1, 2])
def test_gradient_checkpointing_changes_nothing(runs: Runs, ranks: int) -> None:
    one, other = runs.weights("checkpointing", ranks, "end"), runs.weights("stage3", ranks, "saved")
    assert difference(one, other) < 1e-6
    assert runs.trained[ranks]["checkpointing"]["measure_equals_forward"]


def test_fresh_weights_depend_on_the_seed_alone(runs: Runs) -> None:
    weights = [runs.weights(case, ranks, "end") for case in ("random0", "random3") for ranks in (1, 2)]
    assert all(difference(weights[0], other) == 0 for other in weights[1:])
    assert difference(weights[0], _initial(runs, "plain")) > 0.01


def test_memory_stays_flat(runs: Runs) -> None:
    assert runs.trained[1]["memory"]["grown_bytes"] < 20 * 2**20


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ["stage0", "stage3", "tied_stage3"])
def test_the_exported_folder_loads_with_equal_weights(runs: Runs, case: str, ranks: int) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = runs.folder / f"{case}-{ranks}-export"
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    loaded = {name: value.detach() for name, value in model.named_parameters(remove_duplicate=False)}
    assert difference(loaded, runs.weights(case, ranks, "recovered")) == 0
    assert AutoTokenizer.from_pretrained(folder).decode([20, 21]) == "56"
    original = (runs.folder / ("tied" if case in TIED else "plain")) / "generation_config.json"
    assert (folder / "generation_config.json").read_bytes() == original.read_bytes()
