from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.entropy.change import clip_indicator
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from steerctl.types import Dials, TokenStats
from tests.batches import make_case, stats_of
from tests.oracles import loss as oracle


def surrogate(loss: PpoClip, log_ratio: float, advantage: float):
    """Surrogate and its derivative by log π, for one token, through the public call."""
    case = make_case(rows=1)
    shape = case.batch.loss_mask_BT.shape
    logprobs = torch.full(shape, -1.0 + log_ratio, dtype=torch.float64, requires_grad=True)
    old = TokenStats(torch.full(shape, -1.0, dtype=torch.float64), *[torch.zeros(shape)] * 3)
    batch = replace(case.batch, advantages_BT=torch.full(shape, advantage, dtype=torch.float64), old=old)
    value = loss(loss.neutral_dials(batch), batch, TokenStats(logprobs, *[torch.zeros(shape)] * 3))[0, 0]
    (gradient,) = torch.autograd.grad(value, logprobs)
    return value.item(), gradient[0, 0].item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "gradient"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside
        (1.5, 2.0, 2.4, 0.0),  # above, to be raised: held at 1.2
        (0.5, 2.0, 1.0, 1.0),  # below, to be raised: no bound
        (0.5, -2.0, -1.6, 0.0),  # below, to be lowered: held at 0.8
        (1.5, -2.0, -3.0, -3.0),  # above, to be lowered: no bound
        (6.0, -2.0, -12.0, -12.0),
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_golden(ratio, advantage, value, gradient):
    assert surrogate(PpoClip(), math.log(ratio), advantage) == pytest.approx((value, gradient), abs=1e-12)


def test_golden_dual_clip():
    assert surrogate(PpoClip(dual_clip=3.0), math.log(6), -2.0) == (-6.0, 0.0)
    assert surrogate(PpoClip(dual_clip=3.0), math.log(6), 2.0) == pytest.approx((2.4, 0.0))
    assert surrogate(PpoClip(dual_clip=3.0), math.log(2), -2.0) == pytest.approx((-4.0, -4.0))


def test_dual_clip_below_one_is_refused():
    with pytest.raises(ValidationError, match="greater than 1"):
        PpoClip(dual_clip=0.5)


@pytest.mark.parametrize("dual", [None, 1.4])
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.28), (0.99, 5.0), (math.inf, math.inf), (0.0, 0.0)])
def test_oracle(dual, low, high):
    case = make_case(seed=1, drift=1.0)
    loss = PpoClip(clip_ratio_low=low, clip_ratio_high=high, dual_clip=dual)
    actual = loss(loss.neutral_dials(case.batch), case.batch, case.stats).detach().numpy()
    log_ratio = (case.stats.logprobs_BT.detach().double() - case.batch.old_stats.logprobs_BT.double()).numpy()
    advantages = case.batch.advantages_BT.double().numpy()
    one = np.vectorize(lambda d, a: oracle.ppo_clip(d, a, low, high, dual))
    np.testing.assert_allclose(actual, one(log_ratio, advantages), rtol=3e-6, atol=1e-7)


def test_infinite_bounds_are_no_clip():
    loss = PpoClip(clip_ratio_low=math.inf, clip_ratio_high=math.inf)
    for log_ratio, advantage in [(5.0, 1.0), (-5.0, -1.0), (5.0, -1.0)]:
        value, gradient = surrogate(loss, log_ratio, advantage)
        assert value == pytest.approx(advantage * math.exp(log_ratio)) == gradient


def test_a_lost_token_gives_a_large_number_and_not_infinity():
    value, gradient = surrogate(PpoClip(), 500.0, -1.0)
    assert value == pytest.approx(-math.exp(20.0))
    assert gradient == 0.0


def test_bounds_are_read_per_token():
    case = make_case(seed=2, drift=1.0)
    loss = PpoClip()
    dials = loss.neutral_dials(case.batch)
    wide_BT = torch.full_like(dials.clip_high_BT, math.inf)
    rows = torch.arange(6)[:, None] < 3
    mixed = replace(
        dials,
        clip_high_BT=torch.where(rows, wide_BT, dials.clip_high_BT),
        clip_low_BT=torch.where(rows, wide_BT, dials.clip_low_BT),
    )
    wide = replace(dials, clip_high_BT=wide_BT, clip_low_BT=wide_BT)
    expected = torch.where(rows, loss(wide, case.batch, case.stats), loss(dials, case.batch, case.stats))
    assert torch.equal(loss(mixed, case.batch, case.stats), expected)
    assert not torch.equal(expected, loss(dials, case.batch, case.stats))


@pytest.mark.parametrize("dual", [None, 1.3])
def test_gradient_passes_exactly_where_the_clip_indicator_says(dual):
    case = make_case(seed=3, drift=1.0)
    loss = PpoClip(dual_clip=dual)
    dials = loss.neutral_dials(case.batch)
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    stats = replace(case.stats, logprobs_BT=logprobs)
    (gradient,) = torch.autograd.grad(loss(dials, case.batch, stats).sum(), logprobs)
    ratio = (logprobs.detach() - case.batch.old_stats.logprobs_BT).exp()
    passes = clip_indicator(ratio, dials.advantages_BT, 0.2, 0.2, dual)
    torch.testing.assert_close(gradient, passes * ratio * dials.advantages_BT)
    assert 0 < (~passes & case.batch.loss_mask_BT).sum() < case.batch.loss_mask_BT.sum()


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean_token_mean"])
def test_neutral_dials_are_plain_grpo_bit_for_bit(reduction):
    case = make_case(seed=4)
    loss, batch, mask = PpoClip(), case.batch, case.batch.loss_mask_BT
    actual = token_loss(
        loss.neutral_dials(batch), loss(loss.neutral_dials(batch), batch, case.stats), batch, reduction, 1
    )
    ratio = torch.exp(case.stats.logprobs_BT - batch.old_stats.logprobs_BT)
    losses = torch.max(-batch.advantages_BT * ratio, -batch.advantages_BT * torch.clamp(ratio, 0.8, 1.2))
    if reduction == "token_mean":
        scale = torch.tensor(1.0) / mask.sum()
    else:
        scale = torch.tensor(1.0) / (mask.shape[0] * mask.sum(dim=1, keepdim=True))
    expected = torch.where(mask, losses * scale, 0.0).sum()
    assert torch.equal(actual, expected)
    gradients = [torch.autograd.grad(value, case.logits_BTV, retain_graph=True)[0] for value in (actual, expected)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant_norm"])
def test_finite_differences_of_the_whole_loss(reduction):
    case = make_case(seed=5, rows=2, length=5, vocabulary=4, drift=0.6, dtype=torch.float64)
    batch, loss = case.batch, PpoClip(dual_clip=1.5)
    neutral = loss.neutral_dials(batch)
    generator = torch.Generator().manual_seed(0)
    dials = replace(neutral, weight_BT=torch.rand(neutral.weight_BT.shape, generator=generator, dtype=torch.float64))

    def value(logits):
        stats = stats_of(logits, batch.target_ids_BT, batch.loss_mask_BT)
        with_penalty: Dials = replace(dials, penalty_BT=0.3 * stats.entropy_BT)
        return token_loss(with_penalty, loss(with_penalty, batch, stats), batch, reduction, 7)

    assert torch.autograd.gradcheck(value, (case.logits_BTV.detach().requires_grad_(),), eps=1e-7, atol=1e-6)


def test_on_policy_gradient_is_that_of_reinforce():
    case = make_case(seed=6, drift=0.0)
    loss = PpoClip()
    gradient = torch.autograd.grad(
        loss(loss.neutral_dials(case.batch), case.batch, case.stats).sum(), case.logits_BTV, retain_graph=True
    )[0]
    expected = torch.autograd.grad((case.batch.advantages_BT * case.stats.logprobs_BT).sum(), case.logits_BTV)[0]
    torch.testing.assert_close(gradient, expected)
