from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
import yaml

from steerctl.intervention.kl import Kl
from steerctl.intervention.reference_reset import ReferenceReset
from steerctl.run.step import run_step
from tests.batches import make_case
from tests.intervention.populations import assert_baseline, assert_finite_at_the_edges, edge_cases, turn_of
from tests.run.test_step import parts

CASE = make_case(seed=1, drift=0.4, dtype=torch.float64)


def mean_k3(case):
    """By hand: the mean of ρ − 1 − log ρ with ρ = π_ref/π."""
    mask = case.batch.loss_mask_BT
    rho = (case.batch.ref_logprobs_BT.exp() / case.stats.logprobs_BT.exp())[mask]
    return float((rho - 1 - rho.log()).mean().detach())


def test_by_the_clock():
    intervention = ReferenceReset(every=3)
    assert [intervention.renews_reference(steps) for steps in range(1, 8)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert intervention.state_dict() == {"resets": 2}
    assert not any(ReferenceReset(every=0).renews_reference(steps) for steps in range(1, 8))


@pytest.mark.parametrize(("factor", "expected"), [(0.99, True), (1.01, False)])
def test_by_the_bound_once(factor, expected):
    intervention = ReferenceReset(every=0, kl_trigger=factor * mean_k3(CASE))
    turn_of(intervention, [CASE], update=0)
    turn_of(intervention, [CASE], update=1)
    assert intervention.renews_reference(1) is expected
    assert intervention.renews_reference(2) is False


def test_the_bound_looks_at_the_step_before_its_first_update():
    intervention = ReferenceReset(every=0, kl_trigger=0.99 * mean_k3(CASE))
    assert intervention.population_scope == "step"
    assert ReferenceReset().population_scope == "micro_batch"
    turn_of(intervention, [CASE], update=1)
    assert intervention.renews_reference(1) is False


def test_it_turns_nothing():
    assert_baseline(ReferenceReset(kl_trigger=1e-9), make_case(seed=2, drift=0.5))
    assert_finite_at_the_edges(lambda: ReferenceReset(kl_trigger=1e-9))


def test_empty_steps_and_lost_tokens_do_not_upset_it():
    for name, case in edge_cases().items():
        intervention = ReferenceReset(every=0, kl_trigger=1e-9)
        turn_of(intervention, [case])
        assert intervention.renews_reference(1) is (name != "empty") or name in {"certain", "all_alike"}


def test_state_survives_a_checkpoint():
    one = ReferenceReset(every=2)
    for steps in range(1, 5):
        one.renews_reference(steps)
    two = ReferenceReset(every=2)
    two.load_state_dict(json.loads(json.dumps(dict(one.state_dict()))))
    assert two.state_dict() == one.state_dict() == {"resets": 2}
    assert two.renews_reference(6)


def test_the_penalty_of_kl_starts_again_from_zero():
    """Two steps with KL; with the reference renewed between them the second begins without a penalty."""

    def second_penalty(*, renew):
        p = parts(interventions=[Kl(kl_coef=1.0), ReferenceReset(every=1)], updates_per_step=1)
        outcome = run_step(p, 0, 0)
        assert p.interventions[1].renews_reference(1)
        if renew:
            p.policy.reference = p.policy.table.detach().clone()
        views = run_step(p, 1, outcome.collected.cursor).views
        return max(float(view.dials.penalty_BT.abs().max()) for view in views)

    assert second_penalty(renew=True) == 0
    assert second_penalty(renew=False) > 0


def test_without_a_reference_it_says_so():
    blind = replace(CASE, batch=replace(CASE.batch, ref_logprobs_BT=None))
    with pytest.raises(RuntimeError, match="no reference"):
        turn_of(ReferenceReset(kl_trigger=1.0), [blind])


def test_presets_stand_in_the_docstring():
    text = re.search(r"^ *penalty: .*?(?=\n\n)", ReferenceReset.__doc__, re.DOTALL | re.MULTILINE).group()
    presets = yaml.safe_load(text)
    assert Kl(**presets["penalty"]).estimator == "k2"
    assert ReferenceReset(**presets["prorl"]).every == 200
    assert ReferenceReset.needs == {"reference"}
