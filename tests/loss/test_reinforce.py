from __future__ import annotations

from dataclasses import replace

import torch

from steerctl.loss.reinforce import Reinforce
from steerctl.types import TokenStats
from tests.batches import make_case


def test_golden():
    case = make_case(rows=1)
    shape = case.batch.loss_mask_BT.shape
    batch = replace(case.batch, advantages_BT=torch.full(shape, -2.0))
    stats = TokenStats(torch.full(shape, -0.5), *[torch.zeros(shape)] * 3)
    assert torch.equal(Reinforce()(Reinforce().neutral_dials(batch), batch, stats), torch.ones(shape))


def test_gradient_is_the_advantage_wherever_the_old_policy_was():
    case = make_case(seed=1, drift=2.0)
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    loss = Reinforce()
    value = loss(loss.neutral_dials(case.batch), case.batch, replace(case.stats, logprobs_BT=logprobs)).sum()
    assert torch.equal(torch.autograd.grad(value, logprobs)[0], case.batch.advantages_BT)


def test_it_needs_no_old_statistics_and_no_clip():
    case = make_case(seed=2)
    loss = Reinforce()
    dials = loss.neutral_dials(case.batch)
    wide = replace(dials, clip_high_BT=torch.full_like(dials.clip_high_BT, float("inf")))
    actual = loss(wide, replace(case.batch, old=None), case.stats)
    assert torch.equal(actual, loss(dials, case.batch, case.stats))
