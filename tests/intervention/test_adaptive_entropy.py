from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.adaptive_entropy import AdaptiveEntropy
from steerctl.intervention.entropy_bonus import EntropyBonus
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    turn_of,
    turned,
)
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(
    re.search(r"^ *skywork: .*?(?=\n\n)", AdaptiveEntropy.__doc__, re.DOTALL | re.MULTILINE).group()
)
CASE = make_case(seed=1, drift=0.0)


def with_entropy(value, nll=None):
    """The case with every old entropy (and surprisal) at this value."""
    mask = CASE.batch.loss_mask_BT.float()
    old = replace(CASE.batch.old_stats, entropy_BT=value * mask, logprobs_BT=-(value if nll is None else nll) * mask)
    stats = replace(CASE.stats, logprobs_BT=old.logprobs_BT, entropy_BT=old.entropy_BT)
    return replace(CASE, batch=replace(CASE.batch, old=old), stats=stats)


def acting(intervention, case, step, update=0):
    """The coefficient of H in the penalty."""
    turn = turn_of(intervention, [case], step=step, update=update)
    mask = CASE.batch.loss_mask_BT
    penalty = turn(CASE.view().dials, CASE.batch, CASE.stats).penalty_BT[mask].detach()
    quotient = -penalty / CASE.stats.entropy_BT[mask].detach()
    assert torch.allclose(quotient, quotient[0], atol=1e-7)
    return quotient[0].item()


def test_presets_stand_in_the_docstring():
    assert {name: AdaptiveEntropy(**preset).coef_max for name, preset in PRESETS.items()} == {
        "skywork": 0.005,
        "skywork_config": 0.5,
        "trl": 1.0,
    }


def test_golden_it_climbs_below_the_target_and_is_off_above_it():
    controller = AdaptiveEntropy(entropy_target=0.5, delta=0.25, coef_max=0.6)
    trace = [acting(controller, with_entropy(value), step) for step, value in enumerate([0.1, 0.1, 0.1, 0.1, 0.9, 0.1])]
    assert trace == pytest.approx([0, 0.25, 0.5, 0.6, 0, 0.35])


@pytest.mark.parametrize("measure", ["exact", "sampled"])
def test_oracle(measure):
    rng = np.random.default_rng(0)
    entropies = [*np.round(rng.uniform(0, 1, 30), 3), 0.5]
    controller = AdaptiveEntropy(
        entropy_target=0.5, delta=0.07, coef_start=0.1, coef_min=0.05, coef_max=0.2, measure=measure
    )
    cases = [with_entropy(v, 9.0) if measure == "exact" else with_entropy(9.0, v) for v in entropies]
    actual = [acting(controller, case, step) for step, case in enumerate(cases)]
    expected = oracle.controller(entropies, target=0.5, delta=0.07, start=0.1, low=0.05, high=0.2)
    assert actual == pytest.approx(expected, abs=1e-6)


def test_it_moves_once_a_step_and_is_the_same_in_all_its_updates():
    controller = AdaptiveEntropy(entropy_target=0.5, delta=0.25, coef_max=1.0)
    low = with_entropy(0.1)
    trace = [acting(controller, low, step, update) for step in range(3) for update in range(4)]
    assert trace == pytest.approx([0.0] * 4 + [0.25] * 4 + [0.5] * 4)


def test_the_coefficient_survives_a_checkpoint():
    settings = {"entropy_target": 0.5, "delta": 0.1, "coef_max": 1.0}
    through = AdaptiveEntropy(**settings)
    for step in range(3):
        acting(through, with_entropy(0.1), step)
    state = json.loads(json.dumps(dict(through.state_dict())))
    resumed = AdaptiveEntropy(**settings)
    resumed.load_state_dict(state)
    assert acting(resumed, with_entropy(0.1), 3) == acting(through, with_entropy(0.1), 3) == pytest.approx(0.3)
    assert resumed.state_dict() == through.state_dict()


def test_while_it_acts_it_is_the_fixed_bonus():
    case = make_case(seed=2, drift=0.4)
    adaptive = turned(AdaptiveEntropy(entropy_target=9.0, coef_start=0.003), case)
    assert_turns_only(adaptive, case, "penalty_BT")
    assert torch.equal(gradient_of(adaptive, case), gradient_of(turned(EntropyBonus(entropy_coef=0.003), case), case))


def test_neutral_settings_are_the_baseline_bit_for_bit():
    assert_baseline(AdaptiveEntropy(coef_max=0.0, entropy_target=9.0), make_case(seed=3, drift=0.4))
    assert_baseline(AdaptiveEntropy(coef_start=0.005, entropy_target=0.0), make_case(seed=3, drift=0.4))


@pytest.mark.parametrize("measure", ["exact", "sampled"])
def test_it_knows_neither_micro_batches_nor_ranks(measure):
    case = make_case(seed=4, rows=8)
    target = float(case.batch.old_stats.entropy_BT[case.batch.loss_mask_BT].mean()) + 1
    assert_same_in_every_cut(
        lambda: AdaptiveEntropy(entropy_target=target, coef_start=0.004, measure=measure), case, step=5
    )


def test_edges_stay_finite():
    assert_finite_at_the_edges(lambda: AdaptiveEntropy(entropy_target=0.7, coef_start=1.0, coef_max=1.0))


def test_a_step_without_tokens_moves_nothing():
    empty = replace(CASE, batch=replace(CASE.batch, loss_mask_BT=torch.zeros_like(CASE.batch.loss_mask_BT)))
    controller = AdaptiveEntropy(coef_start=0.002)
    turn_of(controller, [empty])
    assert controller.state_dict() == {"coef": 0.002}


def test_what_it_declares_and_refuses():
    assert AdaptiveEntropy.needs == {"entropy_grad"}
    assert AdaptiveEntropy().population_scope == "step"
    with pytest.raises(ValidationError, match="coef_start must lie between"):
        AdaptiveEntropy(coef_start=0.1)
