"""What each loss leaves of a token's gradient, for the metrics: against the published formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from steerctl.loss.ppo_clip import PpoClip
from steerctl.plugins import registry
from tests.batches import make_case

CASE = make_case(seed=3, rows=8, drift=0.4)
BATCH, STATS = CASE.batch, CASE.stats
A, MASK = BATCH.advantages_BT, BATCH.loss_mask_BT
R = (STATS.logprobs_BT.detach() - BATCH.old_stats.logprobs_BT).exp()


def geometric():
    """The ratio of each response, at each of its tokens."""
    logs = torch.where(MASK, R.log(), 0.0).sum(dim=1) / MASK.sum(dim=1).clamp(min=1)
    return logs.exp()[:, None].expand_as(R)


def gate(ratio, tau):
    chance = torch.sigmoid(tau * (ratio - 1))
    return 4 * chance * (1 - chance) * ratio


def held(ratio, low, high):
    return ratio * ~(((A > 0) & (ratio > 1 + high)) | ((A < 0) & (ratio < 1 - low)))


FORMULAS = {
    "ppo_clip": lambda: held(R, 0.2, 0.2) * A,
    "no_clip": lambda: R * A,
    "reinforce": lambda: A,
    "cispo": lambda: R.clamp(0.8, 1.2) * A,
    "sapo": lambda: torch.where(A > 0, gate(R, 1.0), gate(R, 1.05)) * A,
    "gspo": lambda: held(geometric(), 3e-4, 4e-4) * A,
}


@pytest.mark.parametrize("kind", sorted(registry("steerctl.loss")))
def test_slope(kind):
    loss = registry("steerctl.loss")[kind]()
    found = loss.slope(loss.neutral_dials(BATCH), BATCH, STATS)
    assert not found.requires_grad
    assert (found[~MASK] == 0).all()
    torch.testing.assert_close(found[MASK], FORMULAS[kind]()[MASK].to(found.dtype), rtol=1e-5, atol=1e-7)


def test_the_case_holds_tokens_beyond_every_bound():
    """Or the above would not tell the losses apart."""
    assert ((R > 1.2) & (A > 0) & MASK).any()
    assert ((R < 0.8) & (A < 0) & MASK).any()
    assert (held(geometric(), 3e-4, 4e-4)[MASK & (A != 0)] == 0).any()


def test_dual_clip():
    loss = PpoClip(dual_clip=1.1)
    far = replace(STATS, logprobs_BT=torch.where(MASK, BATCH.old_stats.logprobs_BT + 0.2, 0.0))
    found = loss.slope(loss.neutral_dials(BATCH), BATCH, far)
    assert (found[MASK & (A < 0)] == 0).all()
