from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention._remarks import Surroundings, unread
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.probability_clip import ProbabilityClip
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

OSCILLATING = ProbabilityClip(schedule="oscillatory_decay", total_steps=10)


def fresh(method):
    return ProbabilityClip(**method.model_dump())


def bounds(method, case, **when):
    """Lowest and highest ratio of each trained token."""
    dials, mask = turned(method, case, **when), case.batch.loss_mask_BT
    return (1 - dials.clip_low_BT)[mask].double().numpy(), (1 + dials.clip_high_BT)[mask].double().numpy()


def of_entropy(value):
    case = make_case(seed=9)
    old = replace(case.batch.old_stats, entropy_BT=torch.full_like(case.batch.advantages_BT, value))
    return replace(case, batch=replace(case.batch, old=old))


def at_probability(method, prob, **when):
    case = make_case(rows=1)
    old = replace(case.batch.old_stats, logprobs_BT=torch.full_like(case.batch.advantages_BT, math.log(prob)))
    low, high = bounds(method, replace(case, batch=replace(case.batch, old=old)), **when)
    return low[0], high[0]


def test_golden_bounds():
    constant = ProbabilityClip(schedule="constant", slope=-0.5, intercept=0.5)
    assert at_probability(constant, 1.0) == pytest.approx((0.8, 1.0))
    assert at_probability(constant, 0.5) == pytest.approx((0.8, 1.2))
    assert at_probability(constant, 1e-30) == pytest.approx((0.8, 1.5))
    lower = ProbabilityClip(schedule="increase_decrease", slope=-0.5, intercept=0.5, total_steps=10)
    assert at_probability(lower, 1.0, step=5) == pytest.approx((1.0, 1.2))
    assert at_probability(lower, 0.5, step=5) == pytest.approx((1 - 1 / 3, 1.2))
    assert at_probability(lower, 1e-30, step=5) == pytest.approx((0.5, 1.2))


@pytest.mark.parametrize("schedule", ["constant", "increase_decrease", "decrease_increase_decrease"])
@pytest.mark.parametrize("step", [0, 1, 4, 5, 6, 9, 10, 99])
def test_oracle(schedule, step):
    case = make_case(seed=step, drift=0.5, rows=8, length=20)
    method = ProbabilityClip(schedule=schedule, total_steps=10, slope=-0.25, intercept=0.3)
    probs = case.batch.old_stats.logprobs_BT[case.batch.loss_mask_BT].double().exp().tolist()
    upper, lower = oracle.probability_shares(schedule, min(step, 10), 10)
    dynamic = np.array([oracle.probability_bounds(p, -0.25, 0.3) for p in probs])
    low, high = bounds(method, case, step=step)
    np.testing.assert_allclose(high, upper * dynamic[:, 1] + (1 - upper) * 1.2, rtol=1e-6)
    np.testing.assert_allclose(low, lower * dynamic[:, 0] + (1 - lower) * 0.8, rtol=1e-6)


def test_the_schedules_begin_and_end_where_they_should():
    shares = {
        name: [oracle.probability_shares(name, step, 10) for step in (0, 5, 10)]
        for name in ("increase_decrease", "decrease_increase_decrease")
    }
    assert shares["increase_decrease"] == [(1, 0), (0, 1), (0, 0)]
    assert shares["decrease_increase_decrease"] == [(0, 0), (1, 1), (1, 0)]


@pytest.mark.parametrize("seed", range(3))
def test_oracle_of_the_oscillation(seed):
    rng = np.random.default_rng(seed)
    entropies = [1.0, *rng.choice([0.05, 0.15, 0.3, 0.5, 0.9, 1.1], 10)]
    method = ProbabilityClip(schedule="oscillatory_decay", total_steps=8, low_fraction=0.2, min_fraction=0.1)
    expected = oracle.oscillation(entropies, 8, 0.2, 0.1)
    for step, (entropy, mode) in enumerate(zip(entropies, expected, strict=True)):
        for update in (0, 1):
            low, high = bounds(method, of_entropy(entropy), step=step, update=update)
            found = {(True, False): "raise", (False, True): "lower", (False, False): "standard"}[
                (not np.allclose(high, 1.2), not np.allclose(low, 0.8))
            ]
            assert found == mode, step


def test_the_mode_survives_a_checkpoint():
    through, whole = fresh(OSCILLATING), [0.9, 0.1, 0.3, 0.3]
    resumed = fresh(OSCILLATING)
    for step, entropy in enumerate(whole[:2]):
        turned(through, of_entropy(entropy), step=step, update=0)
    resumed.load_state_dict(json.loads(json.dumps(dict(through.state_dict()))))
    assert resumed.state_dict() == through.state_dict() == {"mode": "raise", "start": pytest.approx(0.9)}
    case = of_entropy(0.3)
    for again, other in zip(bounds(resumed, case, step=2), bounds(through, case, step=2), strict=True):
        np.testing.assert_array_equal(again, other)
    assert (bounds(resumed, case, step=2)[1] != bounds(fresh(OSCILLATING), case, step=2, update=0)[1]).any()


def test_only_bounds_turn_and_rare_right_tokens_keep_their_gradient():
    case = make_case(seed=0, drift=0.3, rows=60, length=30)
    method = ProbabilityClip(schedule="constant")
    dials = turned(method, case)
    assert_detached(dials)
    assert_turns_only(dials, case, "clip_high_BT")
    plain, wide = (gradient_of(each, case).abs().sum(-1) for each in (case.view().dials, dials))
    old, ratio = case.batch.old_stats.logprobs_BT, (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp()
    rescued = case.batch.loss_mask_BT & (case.batch.advantages_BT > 0) & (ratio > 1.2) & (ratio < 1.3) & (old < -1.5)
    assert rescued.any()
    assert (plain[rescued] == 0).all()
    assert (wide[rescued] > 0).all()


def test_bounds_of_earlier_interventions_are_the_standard_ones():
    case = make_case(seed=4)
    free = ClipHigher(clip_ratio_low=math.inf, clip_ratio_high=math.inf).apply(case.view().dials, case.batch, None)
    for step in (0, 2, 5, 7):
        for schedule in ("constant", "increase_decrease", "decrease_increase_decrease"):
            dials = turned(ProbabilityClip(schedule=schedule, total_steps=10), case, free, step=step)
            assert not torch.isnan(dials.clip_low_BT).any()
            assert not torch.isnan(dials.clip_high_BT).any()
    assert torch.isfinite(turned(ProbabilityClip(schedule="constant"), case, free).clip_high_BT).all()


def test_neutral_settings_are_the_baseline_bit_for_bit():
    case = make_case(seed=5, drift=0.0)
    assert_baseline(ProbabilityClip(), case)
    assert ProbabilityClip.inert_when_on_policy
    drifted = make_case(seed=5, drift=1.0)
    assert_baseline(ProbabilityClip(schedule="decrease_increase_decrease"), drifted)  # step 0
    assert_baseline(fresh(OSCILLATING), drifted)


@pytest.mark.parametrize("schedule", ["increase_decrease", "oscillatory_decay"])
def test_it_knows_neither_micro_batches_nor_ranks(schedule):
    method = ProbabilityClip(schedule=schedule, low_fraction=1.0)
    assert method.population_scope == ("step" if schedule == "oscillatory_decay" else "micro_batch")
    assert_same_in_every_cut(lambda: fresh(method), make_case(seed=6, rows=8, drift=0.5), update=0)


def test_edges_stay_finite():
    for schedule in ("constant", "increase_decrease", "decrease_increase_decrease", "oscillatory_decay"):
        assert_finite_at_the_edges(
            lambda schedule=schedule: ProbabilityClip(schedule=schedule, slope=-0.9, intercept=0.95, low_fraction=1.0)
        )


def test_a_bound_that_would_cross_one_is_refused():
    with pytest.raises(ValidationError, match="at least -slope"):
        ProbabilityClip(slope=-0.5, intercept=0.4)


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(ProbabilityClip().remarks(around)) == []
    assert "over after total_steps 10, the run has 100" in next(OSCILLATING.remarks(around))
    assert "min_fraction plays no part with schedule increase_decrease" in unread(ProbabilityClip(min_fraction=0.3))
    assert "total_steps plays no part" in next(unread(ProbabilityClip(schedule="constant", total_steps=7)))
