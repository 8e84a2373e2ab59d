from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention._remarks import Surroundings
from steerctl.intervention.ce_gppo import CeGppo
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.steer import Steer
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    turned,
)
from tests.oracles import intervention_b as oracle

PRESETS = yaml.safe_load(re.search(r"^ *script_7b: .*?(?=\n\n)", CeGppo.__doc__, re.DOTALL | re.MULTILINE).group())


def value_and_slope(method, case, loss, dials=None):
    """Weighted surrogate and its derivative by log π; the dials are the same at the leaf."""
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    dials = turned(method, case, dials or loss.neutral_dials(case.batch))
    value = dials.weight_BT * loss(dials, case.batch, replace(case.stats, logprobs_BT=logprobs))
    return value.detach(), torch.autograd.grad(value.sum(), logprobs)[0]


def one_token(ratio, advantage):
    case = make_case(rows=1, length=4, dtype=torch.float64)
    old = replace(case.stats, logprobs_BT=torch.full((1, 4), -3.0, dtype=torch.float64))
    moved = replace(old, logprobs_BT=old.logprobs_BT + math.log(ratio))
    advantages = torch.full((1, 4), advantage, dtype=torch.float64)
    mask = torch.ones(1, 4, dtype=torch.bool)
    return replace(case, batch=replace(case.batch, old=old, advantages_BT=advantages, loss_mask_BT=mask), stats=moved)


def test_presets_stand_in_the_docstring():
    assert CeGppo(**PRESETS["script_7b"]) == CeGppo()
    assert [CeGppo(**preset).beta_low for preset in PRESETS.values()] == [0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside
        (1.5, 2.0, 2.4, 2.4),  # above, to be raised: 1 · 1.2 · 2
        (0.5, -2.0, -1.2, -1.2),  # below, to be lowered: 0.75 · 0.8 · 2
        (0.5, 2.0, 1.0, 1.0),  # below, to be raised: never clipped
        (1.5, -2.0, -3.0, -3.0),
        (12.0, -2.0, -20.0, 0.0),  # the dual clip stays
        (1e-4, -2.0, -1.2, -1.2),  # however far out, no more than that
        (1e4, 2.0, 2.4, 2.4),
    ],
)
def test_golden(ratio, advantage, value, slope):
    values, slopes = value_and_slope(CeGppo(), one_token(ratio, advantage), PpoClip(dual_clip=10.0))
    assert (values[0, 0].item(), slopes[0, 0].item()) == pytest.approx((value, slope))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("betas", [(0.75, 1.0), (0.25, 0.5), (2.0, 3.0)])
@pytest.mark.parametrize("dual", [3.0, 10.0])
def test_oracle_of_value_and_gradient(seed, betas, dual):
    case = make_case(seed=seed, drift=1.5, rows=8, length=20, dtype=torch.float64)
    loss = PpoClip(clip_ratio_low=0.2, clip_ratio_high=0.28, dual_clip=dual)
    values, slopes = value_and_slope(CeGppo(beta_low=betas[0], beta_high=betas[1]), case, loss)
    mask = case.batch.loss_mask_BT
    moved = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).detach()[mask].tolist()
    advantages = case.batch.advantages_BT[mask].tolist()
    pairs = [oracle.ce_gppo(d, a, (0.2, 0.28), betas, dual) for d, a in zip(moved, advantages, strict=True)]
    actual = torch.stack([values[mask], slopes[mask]], -1).numpy()
    np.testing.assert_allclose(actual, pairs, rtol=1e-9, atol=1e-12)
    assert any(d < math.log(0.8) and a < 0 for d, a in zip(moved, advantages, strict=True))
    assert any(d > math.log(1.28) and a > 0 for d, a in zip(moved, advantages, strict=True))


def test_only_tokens_without_gradient_are_touched():
    case = make_case(seed=1, drift=1.0)
    dials, neutral = turned(CeGppo(), case), case.view().dials
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT", "clip_low_BT", "clip_high_BT")
    before, after = (gradient_of(d, case).abs().sum(-1) for d in (neutral, dials))
    opened = case.batch.loss_mask_BT & (before == 0) & (case.batch.advantages_BT != 0)
    assert opened.any()
    assert (after[opened] > 0).all()
    torch.testing.assert_close(after[~opened], before[~opened])
    assert (dials.weight_BT[~opened] == 1).all()
    assert not torch.isinf(dials.clip_high_BT[~opened]).any()


def test_bounds_of_earlier_interventions_decide_who_is_clipped():
    case = make_case(seed=2, drift=1.0)
    higher = ClipHigher(clip_ratio_high=0.5, clip_ratio_low=0.4).apply(case.view().dials, case.batch, case.stats)
    same = PpoClip(clip_ratio_low=0.4, clip_ratio_high=0.5).neutral_dials(case.batch)
    assert torch.equal(turned(CeGppo(), case, higher).weight_BT, turned(CeGppo(), case, same).weight_BT)
    assert not torch.equal(turned(CeGppo(), case, higher).weight_BT, turned(CeGppo(), case).weight_BT)


def test_a_later_one_sees_the_coefficient_that_acts():
    """STEER after it reads I_clip·r·A·weight = β·bound·A on opened tokens, and 0 without it."""
    case = make_case(seed=3, drift=1.0)
    opened = turned(CeGppo(), case)
    far = torch.isinf(opened.clip_high_BT)
    alone, after = (turned(Steer(weight_min=0.1), case, dials).weight_BT for dials in (case.view().dials, opened))
    assert (alone[far] == 1).all()
    assert (after[far] / opened.weight_BT[far] < 1).all()


def test_neutral_settings_are_the_baseline_bit_for_bit():
    assert_baseline(CeGppo(beta_low=0.0, beta_high=0.0), make_case(seed=4, drift=1.0))
    on_policy = make_case(seed=4, drift=0.0)
    assert_baseline(CeGppo(), on_policy)
    assert CeGppo.inert_when_on_policy


def test_it_knows_neither_micro_batches_nor_ranks():
    assert CeGppo().population_scope == "micro_batch"
    assert_same_in_every_cut(CeGppo, make_case(seed=5, rows=8, drift=1.0))


def test_edges_stay_finite():
    assert_finite_at_the_edges(CeGppo)


def test_a_negative_share_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        CeGppo(beta_low=-0.1)


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(CeGppo().remarks(around)) == []
    assert "both shares 0" in next(CeGppo(beta_low=0.0, beta_high=0.0).remarks(around))
    assert "gspo does not" in next(CeGppo().remarks(replace(around, loss="gspo", clips="sequence")))
