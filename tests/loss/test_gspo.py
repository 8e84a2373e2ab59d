from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.loss.gspo import Gspo
from steerctl.loss.no_clip import NoClip
from tests.batches import cut, make_case
from tests.intervention.populations import edge_cases, loss_of
from tests.oracles import loss_b as oracle

LOSS = Gspo()


def value_and_slope(case, loss=LOSS, dials=None):
    """The surrogate and its derivative by log π."""
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    value = loss(dials or loss.neutral_dials(case.batch), case.batch, replace(case.stats, logprobs_BT=logprobs))
    return value.detach(), torch.autograd.grad(value.sum(), logprobs)[0]


def one_response(log_ratios, advantage):
    """A response of these tokens between a prompt position and a padded one, both with wild statistics."""
    case = make_case(rows=1, length=len(log_ratios) + 2, dtype=torch.float64)
    mask = torch.ones_like(case.batch.loss_mask_BT)
    mask[0, 0] = mask[0, -1] = False
    old = replace(case.batch.old_stats, logprobs_BT=torch.full(mask.shape, -1.0, dtype=torch.float64))
    moved = torch.tensor([[50.0, *log_ratios, -70.0]], dtype=torch.float64) - 1.0
    batch = replace(case.batch, loss_mask_BT=mask, old=old, advantages_BT=torch.full_like(moved, advantage))
    return replace(case, batch=batch, stats=replace(case.stats, logprobs_BT=moved))


@pytest.mark.parametrize(
    ("log_ratios", "advantage", "value", "slope"),
    [
        ([0.3, -0.3], 2.0, 2.0, 2.0),  # tokens far out, the response where it was
        ([0.2, 0.0], 1.0, 1.0004, 0.0),  # e^0.1, to be raised: held
        ([0.2, 0.0], -1.0, -math.exp(0.1), -math.exp(0.1)),  # to be lowered: no bound
        ([-0.2, 0.0], -1.0, -0.9997, 0.0),
        ([100.0, 100.0], -1.0, -math.exp(10), -math.exp(10)),  # the exponent is held, the gradient stays
    ],
)
def test_golden(log_ratios, advantage, value, slope):
    values, slopes = value_and_slope(one_response(log_ratios, advantage))
    assert values[0, 1:-1].tolist() == pytest.approx([value] * 2)
    assert slopes[0, 1:-1].tolist() == pytest.approx([slope] * 2)


@pytest.mark.parametrize("drift", [0.001, 0.3, 3.0])
@pytest.mark.parametrize(("low", "high"), [(3e-4, 4e-4), (0.2, 0.28), (math.inf, math.inf)])
def test_oracle_of_value_and_gradient(drift, low, high):
    case = make_case(seed=1, drift=drift, dtype=torch.float64)
    values, slopes = value_and_slope(case, Gspo(clip_ratio_low=low, clip_ratio_high=high))
    for row, mask_T in enumerate(case.batch.loss_mask_BT):
        moved = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).detach()[row, mask_T].tolist()
        pairs = oracle.gspo(moved, case.batch.advantages_BT[row, mask_T].tolist(), low, high)
        actual = torch.stack([values[row, mask_T], slopes[row, mask_T]], -1)
        np.testing.assert_allclose(actual.numpy(), pairs, rtol=1e-6, atol=1e-12)


def test_gradient_of_a_responses_mean_is_that_of_its_sequence_ratio():
    case = make_case(seed=2, drift=0.5, dtype=torch.float64)
    loss = Gspo(clip_ratio_low=math.inf, clip_ratio_high=math.inf)
    _, slopes = value_and_slope(case, loss)
    mask, counts = case.batch.loss_mask_BT, case.batch.loss_mask_BT.sum(1, keepdim=True)
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    moved = torch.where(mask, logprobs - case.batch.old_stats.logprobs_BT, 0.0)
    objective = (moved.sum(1) / counts[:, 0]).exp() * case.batch.advantages_BT.sum(1) / counts[:, 0]
    (expected,) = torch.autograd.grad(objective.sum(), logprobs)
    torch.testing.assert_close(torch.where(mask, slopes / counts, 0.0), expected)


def test_single_token_responses_have_the_tokens_ratio():
    case = edge_cases()["one_token"]
    loss = Gspo(clip_ratio_low=math.inf, clip_ratio_high=math.inf)
    dials = loss.neutral_dials(case.batch)
    mask = case.batch.loss_mask_BT
    actual, expected = (each(dials, case.batch, case.stats)[mask] for each in (loss, NoClip()))
    torch.testing.assert_close(actual, expected)


def test_dials_bound_and_credit_each_token():
    case = make_case(seed=3, drift=0.5)
    dials = LOSS.neutral_dials(case.batch)
    free = replace(dials, clip_low_BT=dials.clip_low_BT + torch.inf, clip_high_BT=dials.clip_high_BT + torch.inf)
    mask = case.batch.loss_mask_BT
    assert (value_and_slope(case)[1][mask] == 0).any()
    assert (value_and_slope(case, dials=free)[1][mask] != 0).all()
    doubled = replace(free, advantages_BT=2 * free.advantages_BT)
    assert torch.equal(value_and_slope(case, dials=doubled)[1], 2 * value_and_slope(case, dials=free)[1])


def test_micro_batches_do_not_matter():
    case = make_case(seed=4, drift=0.5)
    parts = [LOSS(part.view(LOSS).dials, part.batch, part.stats) for part in cut(case, [1, 2, 3])]
    assert torch.equal(torch.cat(parts), LOSS(case.view(LOSS).dials, case.batch, case.stats))


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        loss = loss_of(LOSS.neutral_dials(case.batch), case, LOSS)
        (gradient,) = torch.autograd.grad(loss, case.logits_BTV)
        assert torch.isfinite(loss), name
        assert torch.isfinite(gradient).all(), name
        assert (gradient[~case.batch.loss_mask_BT] == 0).all(), name
