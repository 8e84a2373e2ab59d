"""The step against fakes: order of events, neutrality, and the arithmetic of one update."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import Field

from steerctl.advantage.grpo import Grpo
from steerctl.errors import NonFiniteError
from steerctl.intervention import Intervention
from steerctl.loss.ppo_clip import PpoClip
from steerctl.run.step import Parts, run_step
from tests.fakes import FakePolicy
from tests.rollout.test_collect import collector


def parts(**changes) -> Parts:
    policy = FakePolicy()
    base = Parts(
        collector=collector(ranks=policy, group_size=8),
        policy=policy,
        generator=collector().generator,
        advantage=Grpo(),
        surrogate=PpoClip(),
        reduction="token_mean",
        constant_norm_length=5,
        interventions=(),
        updates_per_step=2,
        micro_batch_tokens=24,
        device="cpu",
        entropy_after_every=1,
    )
    return replace(base, **changes)


class Spy(Intervention):
    """Turns nothing; notes what it sees."""

    kind: str = "spy"
    scope: str = "update"
    seen: list = Field(default_factory=list)

    @property
    def population_scope(self):
        return self.scope

    def prepare(self, population):
        self.seen.append(len(population.gather(lambda dials, batch, stats: stats.entropy_BT)))
        return self.apply


class NeutralOnly(Intervention):
    """The defaults alone."""

    kind: str = "neutral_only"


class Zero(Intervention):
    """Silences every token."""

    kind: str = "zero"

    def apply(self, dials, batch, stats):
        return replace(dials, weight_BT=torch.zeros_like(dials.weight_BT))


class Poison(Intervention):
    """Makes the loss NaN."""

    kind: str = "poison"

    def apply(self, dials, batch, stats):
        return replace(dials, penalty_BT=stats.logprobs_BT * float("nan"))


def table(interventions=(), **changes):
    p = parts(interventions=interventions, **changes)
    run_step(p, 0, 0)
    return p.policy.table.detach()


def test_a_step_trains_pushes_and_measures():
    p = parts()
    before = p.policy.table.detach().clone()
    outcome = run_step(p, 0, 0)
    assert not torch.equal(p.policy.table, before)
    assert len(outcome.reports) == 2
    assert torch.equal(p.generator.pushed[0]["table"], p.policy.table)
    assert p.generator.version == 1
    assert len(outcome.after) == len(outcome.views)
    changed = [
        (a.entropy_BT - v.batch.old_stats.entropy_BT).abs().max()
        for a, v in zip(outcome.after, outcome.views, strict=True)
    ]
    assert max(changed) > 0
    rows = sorted(int(row) for view in outcome.views for row in view.batch.row_B)
    assert rows == list(range(4 * 8))


def test_micro_batches_do_not_change_the_update():
    torch.testing.assert_close(table(micro_batch_tokens=8), table(micro_batch_tokens=10_000), rtol=0, atol=1e-6)


def test_an_intervention_that_turns_nothing_is_the_baseline_bit_for_bit():
    assert torch.equal(table([NeutralOnly()]), table())


def test_weight_zero_trains_nothing():
    start = FakePolicy().table.detach()
    assert torch.equal(table([Zero()]), start)


@pytest.mark.parametrize(("scope", "passes"), [("update", 1), ("step", 0)])
def test_a_population_costs_a_pass_only_after_the_first_update(scope, passes):
    spy = Spy(scope=scope, seen=[])
    p = parts(interventions=[spy])
    outcome = run_step(p, 0, 0)
    second_update = sum(int(view.batch.row_B.max()) >= 16 for view in outcome.views)
    assert p.policy.calls.count("measure") == len(outcome.views) * 2 + passes * second_update
    totals = [view.batch.num_tokens for view in outcome.views]
    expected = {"update": [totals[0], totals[-1]], "step": [totals[0] + totals[-1]] * 2}[scope]
    assert spy.seen == expected


def test_nan_names_step_and_update():
    with pytest.raises(NonFiniteError, match="step 8, update 1: micro-batch 1"):
        run_step(parts(interventions=[Poison()]), 7, 0)


def test_the_measurement_after_is_skipped_when_not_asked_for():
    outcome = run_step(parts(entropy_after_every=2), 0, 0)
    assert outcome.after == []


@pytest.mark.parametrize(("every", "steps"), [(0, []), (1, [1, 2, 3, 4, 5, 6]), (3, [3, 6])])
def test_the_measurement_after_falls_on_the_steps_whose_rollouts_are_saved(every, steps):
    """Steps are counted from 1 where `log.rollouts_every` is asked, and the columns are part of those rollouts."""
    assert [step + 1 for step in range(6) if parts(entropy_after_every=every).measures_after(step)] == steps
