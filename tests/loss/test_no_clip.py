from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from steerctl.loss.no_clip import NoClip
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import make_case
from tests.intervention.populations import edge_cases, loss_of
from tests.oracles import loss_b as oracle

LOSS = NoClip()


def value_and_slope(case):
    """The surrogate and its derivative by log π, in float64."""
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    value = LOSS(LOSS.neutral_dials(case.batch), case.batch, replace(case.stats, logprobs_BT=logprobs))
    return value.detach(), torch.autograd.grad(value.sum(), logprobs)[0]


def test_golden():
    case = make_case(rows=1)
    shape = case.batch.loss_mask_BT.shape
    old = replace(case.batch.old_stats, logprobs_BT=torch.full(shape, -1.0))
    batch = replace(case.batch, advantages_BT=torch.full(shape, -2.0), old=old)
    stats = replace(case.stats, logprobs_BT=torch.full(shape, -1.0) + torch.tensor(3.0).log())
    assert torch.allclose(LOSS(LOSS.neutral_dials(batch), batch, stats), torch.tensor(-6.0))


def test_oracle_of_value_and_gradient():
    case = make_case(seed=1, drift=3.0, dtype=torch.float64)
    value, slope = value_and_slope(case)
    log_ratios = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).detach()
    pairs = [
        oracle.no_clip(float(d), float(a))
        for d, a in zip(log_ratios.flatten(), case.batch.advantages_BT.flatten(), strict=True)
    ]
    np.testing.assert_allclose(torch.stack([value, slope], -1).reshape(-1, 2).numpy(), pairs, rtol=1e-6, atol=1e-12)


def test_on_policy_it_is_ppo_bit_for_bit():
    case = make_case(seed=2, drift=0.0)
    dials = case.view().dials
    for loss in (LOSS, PpoClip()):
        assert torch.equal(LOSS(dials, case.batch, case.stats), loss(dials, case.batch, case.stats))


def test_bounds_have_no_effect():
    case = make_case(seed=3, drift=2.0)
    dials = LOSS.neutral_dials(case.batch)
    tight = replace(dials, clip_low_BT=dials.clip_low_BT * 0, clip_high_BT=dials.clip_high_BT * 0)
    assert torch.equal(LOSS(tight, case.batch, case.stats), LOSS(dials, case.batch, case.stats))
    assert not torch.equal(PpoClip()(dials, case.batch, case.stats), LOSS(dials, case.batch, case.stats))


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        loss = loss_of(LOSS.neutral_dials(case.batch), case, LOSS)
        (gradient,) = torch.autograd.grad(loss, case.logits_BTV)
        assert torch.isfinite(loss), name
        assert torch.isfinite(gradient).all(), name
        assert (gradient[~case.batch.loss_mask_BT] == 0).all(), name
