"""Gradients of an update by the policy of the fakes, against plain autograd on its table."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from steerctl.errors import NonFiniteError
from steerctl.intervention import fold
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_scale
from steerctl.rollout.collate import collate
from steerctl.run.slopes import UpdateSlopes
from steerctl.run.statistics import with_old_statistics
from tests.rollout.test_teacher import groups
from tests.run.test_step import Zero, parts

REDUCTIONS = ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant_norm")


def slopes_of(reduction="token_mean", tokens=10_000, turns=()):
    p = parts(reduction=reduction, constant_norm_length=5)
    advantages = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    (update,) = collate(groups(), advantages, updates=1, rank=0, ranks=1, micro_batch_tokens=tokens)
    update = with_old_statistics(p.policy, update, frozenset(), None)
    return UpdateSlopes(p.policy, PpoClip(), p.loss, update, turns, 0)


def by_autograd(there, reduction):
    """g, g_F and Σ scale, written out: loss = −Σ scale·A·r with r = π/π_old, F = Σ scale·H."""
    policy, loss, entropy, total = there.policy, 0.0, 0.0, 0.0
    for batch in there.update.micro_batches:
        stats = policy._stats(policy.table, batch)
        scale_BT = token_scale(reduction, batch, 5).expand_as(stats.entropy_BT)
        mask = batch.loss_mask_BT
        ratio = (stats.logprobs_BT - stats.logprobs_BT.detach()).exp()
        loss = loss - (scale_BT * batch.advantages_BT * ratio)[mask].sum()
        entropy = entropy + (scale_BT * stats.entropy_BT)[mask].sum()
        total += float(scale_BT[mask].sum())
    return (*(torch.autograd.grad(each, policy.table, retain_graph=True)[0] for each in (loss, entropy)), total)


@pytest.mark.parametrize("tokens", [8, 10_000])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_oracle(reduction, tokens):
    there = slopes_of(reduction, tokens)
    g, h, total = by_autograd(there, reduction)
    products = there.products()
    assert products.against == pytest.approx(float((h * g).sum()), rel=1e-5)
    assert products.own == pytest.approx(float((h * h).sum()), rel=1e-5)
    assert there.total_scale == pytest.approx(total, rel=1e-5)
    assert there.learning_rate == there.policy.lr
    table = there.policy.table
    for batch, slope_BT in zip(there.update.micro_batches, there.sensitivities(), strict=True):
        logprobs_BT = there.policy._stats(table, batch).logprobs_BT
        for place in batch.loss_mask_BT.nonzero().tolist()[:5]:
            (row,) = torch.autograd.grad(logprobs_BT[tuple(place)], table, retain_graph=True)
            assert float(slope_BT[tuple(place)]) == pytest.approx(float((row * h).sum()) / total, rel=1e-5)


def test_nothing_is_left_in_the_policy():
    there = slopes_of()
    before = there.policy.table.detach().clone()
    there.products()
    there.sensitivities()
    assert there.policy.table.grad is None
    assert torch.equal(there.policy.table, before)


def test_the_loss_is_the_one_under_the_turns_before():
    def silence(dials, batch, stats):
        return fold([Zero().apply], dials, batch, stats)

    plain, silent = slopes_of(), slopes_of(turns=(silence,))
    assert silent.products().against == 0
    assert silent.products().own == pytest.approx(plain.products().own)
    assert plain.products().against != 0


def test_a_gradient_that_is_not_finite_names_step_and_update():
    class Broken(type(slopes_of().policy)):
        def take_gradient(self):
            raise NonFiniteError("the loss of micro-batch 0 on rank 0 is not finite")

    there = replace(slopes_of(), policy=Broken(), step=4)
    with pytest.raises(NonFiniteError, match="step 5, update 1: the loss of micro-batch 0"):
        there.products()
