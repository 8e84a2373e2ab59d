from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention import Population
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import make_case

CASE = make_case(seed=1, drift=1.0)
NEUTRAL = PpoClip().neutral_dials(CASE.batch)


def turned(intervention):
    return intervention.apply(NEUTRAL, CASE.batch, CASE.stats)


def test_only_the_upper_bound_moves_by_default():
    dials = turned(ClipHigher())
    assert (dials.clip_high_BT == torch.tensor(0.28)).all()
    for field in fields(dials):
        if field.name != "clip_high_BT":
            assert getattr(dials, field.name) is getattr(NEUTRAL, field.name)


def test_it_equals_the_loss_s_own_bounds_bit_for_bit():
    loss = PpoClip(clip_ratio_low=0.1, clip_ratio_high=0.5)
    expected = loss(loss.neutral_dials(CASE.batch), CASE.batch, CASE.stats)
    actual = loss(turned(ClipHigher(clip_ratio_low=0.1, clip_ratio_high=0.5)), CASE.batch, CASE.stats)
    assert torch.equal(actual, expected)
    assert not torch.equal(actual, loss(NEUTRAL, CASE.batch, CASE.stats))


def test_infinity_switches_the_clip_off():
    ratio = (CASE.stats.logprobs_BT - CASE.batch.old_stats.logprobs_BT).exp()
    dials = turned(ClipHigher(clip_ratio_low=math.inf, clip_ratio_high=math.inf))
    assert torch.equal(PpoClip()(dials, CASE.batch, CASE.stats), ratio * CASE.batch.advantages_BT)


def test_the_last_one_wins():
    first, second = ClipHigher(clip_ratio_high=0.5, clip_ratio_low=0.3), ClipHigher(clip_ratio_high=1.0)
    dials = second.apply(first.apply(NEUTRAL, CASE.batch, CASE.stats), CASE.batch, CASE.stats)
    assert dials.clip_high_BT[0, 0].item() == 1.0
    assert dials.clip_low_BT[0, 0].item() == pytest.approx(0.3)


def test_it_does_nothing_on_the_first_update_and_says_so():
    case = make_case(seed=2, drift=0.0)
    loss = PpoClip()
    neutral = loss.neutral_dials(case.batch)
    dials = ClipHigher().prepare(Population.alone(case.view()))(neutral, case.batch, case.stats)
    values = [loss(either, case.batch, case.stats).sum() for either in (dials, neutral)]
    gradients = [torch.autograd.grad(value, case.logits_BTV, retain_graph=True)[0] for value in values]
    assert torch.equal(*gradients)
    assert ClipHigher.inert_when_on_policy
    assert ClipHigher().population_scope == "micro_batch"


def test_a_negative_bound_is_refused():
    with pytest.raises(ValidationError):
        ClipHigher(clip_ratio_high=-0.1)
