from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention._remarks import Surroundings, unread
from steerctl.intervention._select import token_ids
from steerctl.intervention.stochastic_rescue import UPDATES, StochasticRescue
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
from tests.oracles import intervention_a as draws
from tests.oracles import intervention_b as oracle

PRESETS = yaml.safe_load(
    re.search(r"^ *noise: .*?(?=\n\n)", StochasticRescue.__doc__, re.DOTALL | re.MULTILINE).group()
)
MARGIN = StochasticRescue(**PRESETS["slime_port"])


def of_ratio(ratio, advantage, rows=50, length=100):
    """Very many tokens of one ratio and one advantage."""
    case = make_case(rows=1)
    old = torch.full((rows, length), -3.0)
    stats = replace(case.stats, logprobs_BT=old + math.log(ratio))
    batch = replace(
        case.batch,
        target_ids_BT=torch.zeros(rows, length, dtype=torch.int64),
        loss_mask_BT=torch.ones(rows, length, dtype=torch.bool),
        advantages_BT=torch.full((rows, length), advantage),
        row_B=torch.arange(rows),
        old=replace(case.stats, logprobs_BT=old),
    )
    return replace(case, batch=batch, stats=stats)


def saved(method, case, **when):
    return torch.isinf(turned(method, case, **when).clip_high_BT)[case.batch.loss_mask_BT].numpy()


def test_presets_stand_in_the_docstring():
    assert StochasticRescue(**PRESETS["noise"]) == StochasticRescue()
    assert MARGIN.rule == "margin"


@pytest.mark.parametrize(
    ("ratio", "advantage", "chance"),
    [
        (1.1, 1.0, 0.0),  # inside: nothing to rescue
        (1.2001, 1.0, 0.5),  # at the edge
        (1.3, 1.0, (1.2 / 1.3 - 0.8) / 0.4),
        (1.49, 1.0, (1.2 / 1.49 - 0.8) / 0.4),
        (1.51, 1.0, 0.0),  # above 1.2/0.8
        (1.3, -1.0, 0.0),  # wrong and grown: never clipped
        (0.7999, -1.0, 0.5),
        (0.7, -1.0, (1.2 - 0.8 / 0.7) / 0.4),
        (0.66, -1.0, 0.0),  # below 0.8/1.2
        (0.7, 1.0, 0.0),
        (1.3, 0.0, 0.0),
    ],
)
def test_golden_chances(ratio, advantage, chance):
    rate = saved(StochasticRescue(), of_ratio(ratio, advantage)).mean()
    assert rate == pytest.approx(chance, abs=4 * math.sqrt(0.25 / 5000) if chance else 0)
    if chance:
        assert chance == pytest.approx(oracle.rescue_chance(ratio, 0.2, 0.2, 0.2), abs=1e-3)


@pytest.mark.parametrize(("ratio", "chance"), [(1.3, 0.3), (1.33, 0.0), (1.19, 0.0)])
def test_golden_margin(ratio, chance):
    method = MARGIN.model_copy(update={"rescue_probability": 0.3})
    assert saved(method, of_ratio(ratio, 1.0)).mean() == pytest.approx(chance, abs=0.03 if chance else 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", ["noise", "margin"])
def test_oracle(seed, rule):
    case = make_case(seed=seed, drift=0.5, rows=8, length=20)
    method = StochasticRescue(rule=rule, noise=0.4, margin=0.3, rescue_probability=0.6, seed=5)
    mask = case.batch.loss_mask_BT
    expected = []
    for identity, new, old, a in zip(
        token_ids(case.batch)[mask].tolist(),
        case.stats.logprobs_BT[mask].tolist(),
        case.batch.old_stats.logprobs_BT[mask].tolist(),
        case.batch.advantages_BT[mask].tolist(),
        strict=True,
    ):
        ratio, draw = math.exp(new - old), draws.splitmix(5, 3 * UPDATES + 2, identity)
        clipped = (a > 0 and ratio > 1.2) or (a < 0 and ratio < 0.8)
        noisy = ratio * (1 - 0.4 + 0.8 * draw)
        inside = 0.8 <= noisy <= 1.2 if rule == "noise" else 0.8 * 0.7 <= ratio <= 1.2 * 1.3 and draw < 0.6
        expected.append(clipped and inside)
    np.testing.assert_array_equal(saved(method, case, step=3, update=2), expected)
    assert any(expected)


def test_a_rescued_token_has_the_unclipped_gradient_and_the_others_theirs():
    case = make_case(seed=1, drift=0.5, rows=20)
    dials, neutral = turned(StochasticRescue(noise=0.5), case), case.view().dials
    rescued = torch.isinf(dials.clip_high_BT)
    assert_detached(dials)
    assert_turns_only(dials, case, "clip_low_BT", "clip_high_BT")
    free = replace(neutral, clip_low_BT=neutral.clip_low_BT + torch.inf, clip_high_BT=neutral.clip_high_BT + torch.inf)
    expected = torch.where(rescued[..., None], gradient_of(free, case), gradient_of(neutral, case))
    assert torch.equal(gradient_of(dials, case), expected)
    assert (gradient_of(neutral, case)[rescued] == 0).all()
    assert rescued.any()


def test_draws_move_with_step_update_and_seed():
    case = of_ratio(1.3, 1.0, rows=5)
    first = saved(StochasticRescue(), case, step=1, update=1)
    np.testing.assert_array_equal(first, saved(StochasticRescue(), case, step=1, update=1))
    for other in (
        saved(StochasticRescue(), case, step=2, update=1),
        saved(StochasticRescue(), case, step=1, update=2),
        saved(StochasticRescue(seed=1), case, step=1, update=1),
    ):
        assert (other != first).any()


def test_neutral_settings_are_the_baseline_bit_for_bit():
    for neutral in (StochasticRescue(noise=0.0), MARGIN.model_copy(update={"rescue_probability": 0.0})):
        assert_baseline(neutral, make_case(seed=2, drift=1.0))
    assert_baseline(StochasticRescue(), make_case(seed=2, drift=0.0))
    assert StochasticRescue.inert_when_on_policy


def test_it_knows_neither_micro_batches_nor_ranks():
    for method in (StochasticRescue(), MARGIN):
        assert method.population_scope == "micro_batch"
        assert_same_in_every_cut(lambda method=method: method, make_case(seed=3, rows=8, drift=0.5), step=4)


def test_edges_stay_finite():
    for method in (StochasticRescue(noise=0.9), MARGIN):
        assert_finite_at_the_edges(lambda method=method: method)


def test_noise_that_could_turn_a_ratio_negative_is_refused():
    with pytest.raises(ValidationError, match="less than 1"):
        StochasticRescue(noise=1.0)


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(StochasticRescue().remarks(around)) == list(MARGIN.remarks(around)) == []
    assert "rescues no token" in next(StochasticRescue(noise=0.0).remarks(around))
    assert "cispo does not" in next(StochasticRescue().remarks(replace(around, loss="cispo", clips="weight")))
    assert list(unread(StochasticRescue(margin=0.3))) == ["margin plays no part with rule noise"]
