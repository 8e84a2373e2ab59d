from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.sapo import Sapo
from tests.batches import make_case
from tests.intervention.populations import edge_cases, loss_of
from tests.oracles import loss_b as oracle


def value_and_slope(case, loss, dials=None):
    """The surrogate and its derivative by log π."""
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    value = loss(dials or loss.neutral_dials(case.batch), case.batch, replace(case.stats, logprobs_BT=logprobs))
    return value.detach(), torch.autograd.grad(value.sum(), logprobs)[0]


def moved_by(ratio, advantage):
    case = make_case(rows=1, dtype=torch.float64)
    shape = case.batch.loss_mask_BT.shape
    old = replace(case.batch.old_stats, logprobs_BT=torch.full(shape, -1.0, dtype=torch.float64))
    batch = replace(case.batch, advantages_BT=torch.full(shape, advantage, dtype=torch.float64), old=old)
    return replace(case, batch=batch, stats=replace(case.stats, logprobs_BT=old.logprobs_BT + np.log(ratio)))


def test_golden_at_one_and_two():
    value, slope = value_and_slope(moved_by(1.0, 3.0), Sapo())
    assert (value[0, 0].item(), slope[0, 0].item()) == pytest.approx((6.0, 3.0))
    # 4·σ(1) = 2.924234; 4·σ(1)(1 − σ(1))·2 = 1.572896
    value, slope = value_and_slope(moved_by(2.0, 1.0), Sapo())
    assert (value[0, 0].item(), slope[0, 0].item()) == pytest.approx((2.924234, 1.572896), abs=1e-6)


@pytest.mark.parametrize(("tau_pos", "tau_neg"), [(1.0, 1.05), (3.0, 0.2)])
def test_oracle_of_value_and_gradient(tau_pos, tau_neg):
    case = make_case(seed=1, drift=2.0, dtype=torch.float64)
    case = replace(
        case, batch=replace(case.batch, advantages_BT=case.batch.advantages_BT * torch.tensor([[1.0], [-1.0]] * 3))
    )
    value, slope = value_and_slope(case, Sapo(tau_pos=tau_pos, tau_neg=tau_neg))
    moved = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).detach().flatten().tolist()
    pairs = [
        oracle.sapo(d, a, tau_pos, tau_neg)
        for d, a in zip(moved, case.batch.advantages_BT.flatten().tolist(), strict=True)
    ]
    np.testing.assert_allclose(torch.stack([value, slope], -1).reshape(-1, 2).numpy(), pairs, rtol=1e-6, atol=1e-12)
    assert {np.sign(a) for a in case.batch.advantages_BT.flatten().tolist()} == {-1.0, 0.0, 1.0}


def test_the_gate_fades_on_both_sides_and_faster_for_negative_tokens():
    slopes = {
        (r, a): value_and_slope(moved_by(r, a), Sapo())[1][0, 0].item() / (r * a)
        for r in (0.2, 1, 3)
        for a in (1.0, -1.0)
    }
    assert slopes[1, 1.0] == pytest.approx(1)
    for ratio in (0.2, 3):
        assert 0 < slopes[ratio, -1.0] < slopes[ratio, 1.0] < 1


def test_on_policy_its_gradient_is_ppos():
    case = make_case(seed=2, drift=0.0)
    torch.testing.assert_close(value_and_slope(case, Sapo())[1], value_and_slope(case, PpoClip())[1])


def test_bounds_have_no_effect():
    case = make_case(seed=3, drift=2.0)
    dials = Sapo().neutral_dials(case.batch)
    tight = replace(dials, clip_low_BT=dials.clip_low_BT * 0, clip_high_BT=dials.clip_high_BT * 0)
    assert torch.equal(Sapo()(tight, case.batch, case.stats), Sapo()(dials, case.batch, case.stats))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        Sapo(tau_neg=0.0)


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        loss = loss_of(Sapo().neutral_dials(case.batch), case, Sapo())
        (gradient,) = torch.autograd.grad(loss, case.logits_BTV)
        assert torch.isfinite(loss), name
        assert torch.isfinite(gradient).all(), name
        assert (gradient[~case.batch.loss_mask_BT] == 0).all(), name
