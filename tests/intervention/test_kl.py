from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.intervention.kl import Kl
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from steerctl.types import TokenStats
from tests.batches import make_case
from tests.oracles import intervention as oracle

ESTIMATORS = ["k1", "k2", "k3", "abs"]


def penalty_and_gradient(intervention, log_ratio):
    """Of one token at distance log π − log π_ref, through the public call."""
    case = make_case(rows=1)
    shape = case.batch.loss_mask_BT.shape
    batch = replace(case.batch, ref_logprobs_BT=torch.full(shape, -50.0, dtype=torch.float64))
    logprobs = torch.full(shape, -50.0 + log_ratio, dtype=torch.float64, requires_grad=True)
    dials = PpoClip().neutral_dials(batch)
    value = intervention.apply(dials, batch, TokenStats(logprobs, *[torch.zeros(shape)] * 3)).penalty_BT[0, 0]
    return value.item(), torch.autograd.grad(value, logprobs)[0][0, 0].item()


@pytest.mark.parametrize(
    ("estimator", "value", "gradient"),
    [
        ("k1", math.log(2), 1.0),
        ("abs", math.log(2), 1.0),
        ("k2", math.log(2) ** 2 / 2, math.log(2)),
        ("k3", 0.5 + math.log(2) - 1, 0.5),
    ],
)
def test_golden_at_twice_the_reference(estimator, value, gradient):
    actual = penalty_and_gradient(Kl(estimator=estimator, kl_coef=10.0), math.log(2))
    assert actual == pytest.approx((10 * value, 10 * gradient))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("log_ratio", [-4.0, -1.3, -1e-3, 0.7, 3.0, 12.0])
def test_oracle(estimator, log_ratio):
    value, _ = penalty_and_gradient(Kl(estimator=estimator, kl_coef=0.5), log_ratio)
    assert value == pytest.approx(0.5 * oracle.kl(estimator, -50.0 + log_ratio, -50.0, 10.0), rel=1e-9, abs=1e-13)


def test_beyond_the_clamp_there_is_no_gradient():
    assert penalty_and_gradient(Kl(kl_coef=1.0), -2.7) == (10.0, 0.0)
    value, gradient = penalty_and_gradient(Kl(kl_coef=1.0, clamp=math.inf), -2.7)
    assert (value, gradient) == pytest.approx((math.exp(2.7) - 3.7, 1 - math.exp(2.7)))
    assert penalty_and_gradient(Kl(kl_coef=1.0, clamp=math.inf), -40.0)[0] == pytest.approx(math.exp(20) - 21)


def expected_gradient(estimator, policy, reference):
    """E over a ~ π of the penalty's gradient by the logits, by summing over the vocabulary."""
    shape = (len(policy), 1)
    logits = policy.clone().requires_grad_()
    logprobs = torch.log_softmax(logits, 0)
    case = make_case(rows=len(policy), length=5)
    batch = replace(case.batch, ref_logprobs_BT=torch.log_softmax(reference, 0).reshape(shape))
    dials = replace(PpoClip().neutral_dials(case.batch), penalty_BT=torch.zeros(shape, dtype=torch.float64))
    stats = TokenStats(logprobs.reshape(shape), *[torch.zeros(shape)] * 3)
    penalties = Kl(estimator=estimator, kl_coef=1.0).apply(dials, batch, stats).penalty_BT
    return torch.autograd.grad((logprobs.detach().exp() * penalties[:, 0]).sum(), logits)[0]


def test_on_policy_k1_pulls_nowhere_k2_is_the_reverse_kl_and_k3_the_forward_kl():
    generator = torch.Generator().manual_seed(0)
    policy, reference = torch.randn((2, 6), generator=generator, dtype=torch.float64)
    pi, ref = torch.softmax(policy, 0), torch.softmax(reference, 0)
    reverse = pi * ((pi / ref).log() - (pi * (pi / ref).log()).sum())
    torch.testing.assert_close(expected_gradient("k1", policy, reference), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(expected_gradient("k2", policy, reference), reverse)
    torch.testing.assert_close(expected_gradient("k3", policy, reference), pi - ref)


def test_penalties_add_up_and_leave_the_other_dials_alone():
    case = make_case(seed=1)
    neutral = PpoClip().neutral_dials(case.batch)
    once = Kl(kl_coef=0.1).apply(neutral, case.batch, case.stats)
    twice = Kl(kl_coef=0.1).apply(once, case.batch, case.stats)
    torch.testing.assert_close(twice.penalty_BT, 2 * once.penalty_BT)
    assert once.weight_BT is neutral.weight_BT
    assert once.advantages_BT is neutral.advantages_BT


def test_coefficient_zero_is_the_baseline_bit_for_bit():
    case = make_case(seed=2)
    loss = PpoClip()
    neutral = loss.neutral_dials(case.batch)
    values = []
    for dials in (neutral, Kl(kl_coef=0.0).apply(neutral, case.batch, case.stats)):
        value = token_loss(dials, loss(dials, case.batch, case.stats), case.batch, "token_mean", 1)
        values.append((value, torch.autograd.grad(value, case.logits_BTV, retain_graph=True)[0]))
    assert torch.equal(values[0][0], values[1][0])
    assert torch.equal(values[0][1], values[1][1])


def test_masked_tokens_have_no_gradient():
    case = make_case(seed=3)
    loss = PpoClip()
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    stats = replace(case.stats, logprobs_BT=logprobs)
    dials = Kl(kl_coef=1.0).apply(loss.neutral_dials(case.batch), case.batch, stats)
    value = token_loss(dials, loss(dials, case.batch, stats), case.batch, "token_mean", 1)
    gradient = torch.autograd.grad(value, logprobs)[0]
    assert (gradient[~case.batch.loss_mask_BT] == 0).all()
    assert np.count_nonzero(gradient.numpy()) == case.batch.num_tokens


def test_it_declares_and_demands_the_reference():
    case = make_case(seed=4)
    assert Kl.needs == {"reference"}
    with pytest.raises(RuntimeError, match="no reference log-probabilities"):
        Kl().apply(PpoClip().neutral_dials(case.batch), replace(case.batch, ref_logprobs_BT=None), case.stats)
