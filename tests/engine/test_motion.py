"""Steps taken apart: by hand, against torch's AdamW in float64, and on real ranks at every ZeRO stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from steerctl.engine.motion import AdamWStep, Moments, clip_factor, motion_of, sgd_motion
from steerctl.types import OptimizerReport
from tests.engine.motion_worker import PARTS, UPDATES
from tests.engine.test_policy import run_ranks
from tests.engine.toy import write_toy_model

engine = pytest.mark.engine

CASES = [("stage0", 1), ("stage3", 1), ("tied_stage3", 1), ("stage2", 2), ("stage3", 2)]
ONE_DIGIT = 2.0**-23  # of float32


@dataclass(frozen=True)
class Runs:
    folder: Path
    reports: dict[int, dict[str, Any]]

    def parts(self, case: str, ranks: int, update: int) -> dict[str, Tensor]:
        return load_file(self.folder / f"{case}-{ranks}-{update}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("motion")
    models = {tied: str(write_toy_model(folder / f"tied_{tied}", tied=tied)) for tied in (False, True)}
    reports = {}
    for ranks in (1, 2):
        cases = [
            {"name": name, "model": models[name.startswith("tied")], "stage": int(name[-1])}
            for name, count in CASES
            if count == ranks
        ]
        reports[ranks] = run_ranks(folder, "motion", ranks, cases, worker="motion_worker.py")
    return Runs(folder, reports)


def of(parts: dict[str, Tensor], part: str) -> Tensor:
    """All parameters of a part as one vector."""
    return torch.cat([parts[key].flatten().double() for key in sorted(parts) if key.startswith(f"{part}/")])


@engine
@pytest.mark.parametrize("update", range(UPDATES))
@pytest.mark.parametrize(("case", "ranks"), CASES)
def test_the_parts_of_a_real_step_add_up(runs: Runs, case: str, ranks: int, update: int) -> None:
    parts = runs.parts(case, ranks, update)
    before, change, share, carried, gradient = (of(parts, part) for part in PARTS)
    error = (change - (carried - share * gradient)).abs()
    # Thrice half a digit is lost: the decay's factor, the decay and the step are each rounded to float32.
    lost = 1.5 * ONE_DIGIT * (before.abs() + change.abs()) + 4e-6 * ((share * gradient).abs() + carried.abs())
    assert bool((error <= lost).all())
    assert float(error.norm()) < 1e-5 * float(change.norm())
    assert (float(carried.norm()) > 0.2 * float(change.norm())) == (update > 0)  # momentum is at work
    report = runs.reports[ranks][case]["updates"][update]
    assert report["missed"] <= ONE_DIGIT / 2
    assert report["norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert report["norm"] > 0.5  # so that clipping is at work
    assert report["rate"] == (1e-3, 2e-3)[update]


@engine
@pytest.mark.parametrize("update", range(UPDATES))
@pytest.mark.parametrize(("case", "ranks"), [case for case in CASES if case[0] != "tied_stage3"])
def test_the_gradient_is_the_one_the_optimiser_was_handed(runs: Runs, case: str, ranks: int, update: int) -> None:
    handed, found = of(runs.parts("stage0", 1, update), "taken"), of(runs.parts(case, ranks, update), "gradient")
    assert float((found - handed).norm()) < (1e-6 if (case, ranks) == ("stage0", 1) else 1e-5) * float(handed.norm())


@engine
@pytest.mark.parametrize("case", ["stage2", "stage3"])
def test_two_ranks_see_what_one_sees(runs: Runs, case: str) -> None:
    one, two = runs.parts("stage3", 1, 0), runs.parts(case, 2, 0)
    gradient = of(one, "gradient")
    assert distance(gradient, of(two, "gradient")) < 1e-6
    assert distance(1 / of(one, "share"), 1 / of(two, "share")) < 1e-6
    assert torch.equal(of(one, "carried"), of(two, "carried"))
    # AdamW moves a weight as far whose gradient is nothing but rounding, one in four hundred here.
    clear = gradient.abs() > 1e-3 * gradient.square().mean().sqrt()
    assert int(clear.sum()) > 0.99 * int((gradient != 0).sum())
    assert distance(of(one, "change")[clear], of(two, "change")[clear]) < 1e-6


def distance(one: Tensor, two: Tensor) -> float:
    return float((one - two).norm() / one.norm())


@engine
@pytest.mark.parametrize(("case", "ranks"), CASES)
def test_watching_leaves_no_trace(runs: Runs, case: str, ranks: int) -> None:
    assert runs.reports[ranks][case]["no_trace"]


@pytest.mark.parametrize(
    ("betas", "weight_decay", "clip"), [((0.9, 0.999), 0.0, 1.0), ((0.8, 0.95), 0.3, 0.25), ((0.0, 0.9), 0.1, 1.0)]
)
def test_parts_are_those_of_torch_in_float64(betas: tuple[float, float], weight_decay: float, clip: float) -> None:
    rng = torch.Generator().manual_seed(3)
    weight = torch.nn.Parameter(torch.randn((5, 3), generator=rng, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.02, betas=betas, eps=1e-3, weight_decay=weight_decay)
    before = Moments(weight.detach().clone(), torch.zeros_like(weight))
    for update in (1, 2, 3):
        gradient = torch.randn((5, 3), generator=rng, dtype=torch.float64)
        weight.grad = clip * gradient
        optimizer.step()
        state = optimizer.state[weight]
        after = Moments(weight.detach().clone(), state["exp_avg"].clone(), state["exp_avg_sq"].clone())
        parts = AdamWStep(0.02, betas, 1e-3, weight_decay, clip, update).parts(before, after)
        torch.testing.assert_close(parts.gradient, gradient, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(parts.change, parts.carried - parts.share * gradient, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(before.weight + parts.change, after.weight, rtol=1e-15, atol=1e-15)
        before = after


def test_parts_by_hand() -> None:
    step = AdamWStep(learning_rate=0.1, betas=(0.5, 0.75), eps=1.0, weight_decay=0.2, clip=0.5, update=2)
    # clipped gradient 4, m: 2 -> 3, v = 14 after; 1 - 0.75² = 0.4375: √(14/0.4375) = √32; 1 - 0.5² = 0.75
    scale = 0.1 / 0.75 / (32**0.5 + 1)
    after = 10.0 - 0.1 * 0.2 * 10 - scale * 3
    parts = step.parts(
        Moments(torch.tensor([10.0]), torch.tensor([2.0])),
        Moments(torch.tensor([after]), torch.tensor([3.0]), torch.tensor([14.0])),
    )
    assert parts.gradient.tolist() == pytest.approx([8.0])
    assert parts.share.tolist() == pytest.approx([scale * 0.5 * 0.5])
    assert parts.carried.tolist() == pytest.approx([-0.2 - scale * 0.5 * 2])
    assert parts.change.tolist() == pytest.approx([-0.2 - scale * 3], rel=1e-5)
    with pytest.raises(ValueError, match="second moment"):
        step.parts(Moments(torch.ones(1), torch.ones(1)), Moments(torch.ones(1), torch.ones(1)))


def test_descent_by_hand() -> None:
    motion = sgd_motion({"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([3.0, 4.0])}, 0.1, max_grad_norm=2.5)
    assert motion.grad_norm == 5.0
    assert motion.change["w"].tolist() == pytest.approx([-0.15, -0.2])
    assert motion.share["w"].tolist() == pytest.approx([0.05, 0.05])
    assert motion.carried["w"].tolist() == [0, 0]
    free = sgd_motion({"w": torch.zeros(2)}, {"w": torch.tensor([3.0, 4.0])}, 0.1)
    assert free.change["w"].tolist() == pytest.approx([-0.3, -0.4])


def test_a_scaled_step_is_the_step_at_another_rate() -> None:
    def motion(rate: float) -> Any:
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=0.1)
        weight.grad = torch.tensor([0.5, 3.0], dtype=torch.float64)
        before = Moments(weight.detach().clone(), torch.zeros_like(weight))
        optimizer.step()
        state = optimizer.state[weight]
        after = Moments(weight.detach(), state["exp_avg"], state["exp_avg_sq"])
        parts = {"w": AdamWStep(rate, (0.9, 0.999), 1e-8, 0.1, 1.0, 1).parts(before, after)}
        return motion_of({"w": before.weight}, parts, OptimizerReport(grad_norm=1.0, learning_rate=rate))

    large, small = motion(0.4), motion(0.1).scaled(4)
    assert small.learning_rate == large.learning_rate
    for part in PARTS:
        torch.testing.assert_close(getattr(small, part)["w"], getattr(large, part)["w"], rtol=1e-12, atol=1e-14)


def test_clip_factor_by_hand() -> None:
    assert clip_factor(0.2, 1.0) == 1.0
    assert clip_factor(4.0, 1.0) == pytest.approx(0.25, rel=1e-6)
    assert clip_factor(4.0, math.inf) == 1.0
