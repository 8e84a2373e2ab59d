"""Derivatives of the entropy against NumPy oracles; slopes of a loss; what the parts add up to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from steerctl.analysis.columns import COLUMNS
from steerctl.analysis.decompose import Decomposition, entropy_bend, entropy_slope, loss_slopes
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from steerctl.types import TokenStats
from tests.batches import make_case

STEP = 1e-3


def entropy(logits_V: NDArray[np.float64]) -> float:
    prob_V = np.exp(logits_V - logits_V.max())
    prob_V /= prob_V.sum()
    return -float((prob_V * np.log(prob_V)).sum())


def richardson(quotient: Callable[[float], float]) -> float:
    """A difference quotient of second order, freed of its leading error."""
    return (4 * quotient(STEP / 2) - quotient(STEP)) / 3


def logits(rows: int = 6, vocabulary: int = 9) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    drawn = torch.randn((2, rows, vocabulary), generator=rng, dtype=torch.float64)
    return 2 * drawn[0], drawn[1]


def test_slope_is_the_derivative() -> None:
    logits_NV, motion_NV = logits()
    expected = [
        richardson(lambda step, z=z, d=d: (entropy(z + step * d) - entropy(z - step * d)) / (2 * step))
        for z, d in zip(logits_NV.numpy(), motion_NV.numpy(), strict=True)
    ]
    assert entropy_slope(logits_NV, motion_NV).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_bend_is_half_the_second_derivative() -> None:
    logits_NV, motion_NV = logits()
    expected = [
        richardson(
            lambda step, z=z, d=d: (entropy(z + step * d) - 2 * entropy(z) + entropy(z - step * d)) / (2 * step**2)
        )
        for z, d in zip(logits_NV.numpy(), motion_NV.numpy(), strict=True)
    ]
    assert entropy_bend(logits_NV, motion_NV).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_shift_of_all_logits_is_no_motion() -> None:
    logits_NV, motion_NV = logits()
    shifted_NV = motion_NV + 1e6
    for derivative in (entropy_slope, entropy_bend):
        torch.testing.assert_close(
            derivative(logits_NV, shifted_NV), derivative(logits_NV, motion_NV), rtol=1e-8, atol=1e-8
        )


def test_two_actions_by_hand() -> None:
    # π = (3/4, 1/4), H = log 4 − 3/4·log 3; dz = (1, 0): dH = −π₁π₂·log 3, d²H = −Σπu²(1 + log π + H), u = (1/4, −3/4)
    logits_NV = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    motion_NV = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    state = np.log(4) - 0.75 * np.log(3)
    bend = -(0.75 / 16 * (1 + np.log(0.75) + state) + 0.25 * 9 / 16 * (1 + np.log(0.25) + state))
    assert entropy_slope(logits_NV, motion_NV).item() == pytest.approx(-0.1875 * np.log(3))
    assert entropy_bend(logits_NV, motion_NV).item() == pytest.approx(bend / 2)


def test_slopes_are_those_autograd_uses_in_training() -> None:
    case, surrogate = make_case(dtype=torch.float64), PpoClip()
    dials = surrogate.neutral_dials(case.batch)

    def loss(stats: TokenStats) -> Tensor:
        value = token_loss(dials, surrogate(dials, case.batch, stats), case.batch, "seq_mean_token_mean", 1.0)
        return value - 0.3 * (stats.entropy_BT**2).sum()

    (whole_BTV,) = torch.autograd.grad(loss(case.stats), case.logits_BTV, retain_graph=True)
    slopes = loss_slopes(loss, case.stats)
    (pieced_BTV,) = torch.autograd.grad(
        [case.stats.logprobs_BT, case.stats.entropy_BT], case.logits_BTV, [slopes.logprobs_BT, slopes.entropy_BT]
    )
    torch.testing.assert_close(pieced_BTV, whole_BTV, rtol=1e-12, atol=1e-14)
    assert float(slopes.logprobs_BT[~case.batch.loss_mask_BT].abs().max()) == 0


def test_a_loss_that_depends_on_nothing_has_no_slopes() -> None:
    case = make_case()
    for loss in (lambda stats: torch.zeros(()), lambda stats: stats.entropy_BT.sum()):
        slopes = loss_slopes(loss, case.stats)
        assert float(slopes.logprobs_BT.abs().max()) == 0
    assert float(slopes.entropy_BT.min()) == 1


def parts(*, own: bool = True) -> Decomposition:
    values = torch.arange(1.0, 10.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, -2.0], dtype=torch.float64)
    return Decomposition(*values[:7], *(values[7:] if own else (None, None)))


def test_the_parts_add_up_and_have_the_names_of_the_table() -> None:
    columns = parts().columns()
    assert set(columns) <= set(COLUMNS)
    assert (columns["own_state"] + columns["interference"] + columns["remainder"]).tolist() == [4.0, -8.0]
    assert columns["interference"].tolist() == [5.0 - 8.0, -10.0 + 16.0]
    without = parts(own=False).columns()
    assert set(columns) - set(without) == {"own_state", "own_second_order", "interference"}


def test_scaled_by_hand() -> None:
    scaled = parts().scaled(3.0, torch.tensor([7.0, 7.0]))
    columns = {name: values[0] for name, values in scaled.columns().items()}
    assert columns["entropy"] == 1  # the state before the step is as it was
    assert columns["measured"] == 7
    assert columns["first_order"] == 15
    assert columns["second_order"] == 54
    assert columns["carried"] == 21
    assert columns["own_state"] == 24
    assert columns["own_second_order"] == 81
    assert columns["remainder"] == -8
    assert parts(own=False).scaled(2.0, torch.zeros(2)).own_state_N is None
