from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.intervention import EntropyProducts, Population
from steerctl.intervention.entropy_projection import EntropyProjection
from steerctl.run.step import run_step
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_finite_at_the_edges,
    assert_turns_only,
    edge_cases,
    gradient_of,
    loss_of,
)
from tests.intervention.slopes import with_slopes
from tests.run.test_step import parts

CASE = make_case(seed=1, drift=0.0, dtype=torch.float64)
MEAN = float(CASE.batch.old_stats.entropy_BT[CASE.batch.loss_mask_BT].mean())


class Fixed:
    """Slopes that are given."""

    learning_rate = 0.5
    total_scale = 1.0

    def __init__(self, against=0.0, own=0.0):
        self.value, self.calls = EntropyProducts(against, own), 0

    def products(self):
        self.calls += 1
        return self.value


def population(slopes, *, case=CASE, step=0, update=0):
    return Population((case.view(),), lambda value: [value], step, update, slopes)


def coefficient(intervention, slopes, **where):
    """The factor of −H in the penalty."""
    view = CASE.view()
    dials = intervention.prepare(population(slopes, **where))(view.dials, view.batch, view.stats)
    mask = CASE.batch.loss_mask_BT
    quotient = -(dials.penalty_BT[mask] / view.stats.entropy_BT[mask]).detach()
    assert torch.allclose(quotient, quotient[0])
    return float(quotient[0])


@pytest.mark.parametrize(
    ("settings", "products", "expected"),
    [
        ({"gain": 0.5, "entropy_target": MEAN + 0.2}, (0.3, 2.0), (0.5 * 0.2 / 0.5 + 0.3) / 2.0),
        ({"gain": 1.0, "entropy_target": MEAN + 0.2}, (-0.6, 2.0), 0.0),  # the loss raises it more than is asked
        ({"gain": 1.0, "entropy_target": MEAN + 0.2}, (0.3, 0.01), 1.0),  # coef_max
        ({"gain": 1.0, "entropy_target": MEAN - 0.2}, (9.0, 2.0), 0.0),  # above H*: off
        ({"gain": 1.0, "entropy_target": MEAN - 0.2, "both_sides": True}, (0.3, 2.0), (-0.2 / 0.5 + 0.3) / 2.0),
        ({"gain": 1.0, "entropy_target": MEAN - 0.2, "both_sides": True}, (-5.0, 2.0), -1.0),
        ({"gain": 1.0, "entropy_target": MEAN + 0.2}, (0.3, 0.0), 0.0),  # entropy has no gradient
    ],
)
def test_golden(settings, products, expected):
    assert coefficient(EntropyProjection(**settings), Fixed(*products)) == pytest.approx(expected, abs=1e-12)


def test_it_is_the_projection_of_the_gradient():
    """Solve the problem of the docstring by its KKT system, with a random diagonal P, and compare gradients."""
    rng = torch.Generator().manual_seed(0)
    case = make_case(seed=3, drift=0.3, dtype=torch.float64)
    diagonal = torch.rand(case.logits_BTV.shape, generator=rng, dtype=torch.float64) + 0.1
    there = with_slopes(case, diagonal=diagonal, learning_rate=0.05)
    target = float(case.stats.entropy_BT.detach()[case.batch.loss_mask_BT].mean()) + 0.3
    intervention = EntropyProjection(entropy_target=target, gain=0.5, coef_max=1e9)
    view = case.view()
    dials = intervention.prepare(there)(view.dials, view.batch, view.stats)
    g, h = (each.numpy().ravel() for each in there.slopes.gradients())
    p = diagonal.numpy().ravel()
    size, eta, change = len(g), 0.05, 0.5 * 0.3
    system = np.zeros((size + 1, size + 1))
    system[:size, :size], system[:size, size], system[size, :size] = np.diag(p), eta * p * h, -eta * p * h
    projected = np.linalg.solve(system, np.append(p * g, change))[:size]
    assert -eta * h @ (p * projected) == pytest.approx(change)
    np.testing.assert_allclose(gradient_of(dials, case).numpy().ravel(), projected, atol=1e-10)


def test_a_small_update_changes_the_mean_entropy_by_what_was_asked():
    """The policy of the fakes descends plainly, so the theory's error must fall with the square of the step."""

    def error(lr):
        p = parts(updates_per_step=1, entropy_after_every=1)
        p.policy.lr = lr
        before = run_step(replace(p, interventions=(), entropy_after_every=1), 0, 0).views  # to learn H̄
        mean = _mean([view.batch.old_stats.entropy_BT for view in before], before)
        p = parts(
            updates_per_step=1, interventions=[EntropyProjection(entropy_target=mean + lr, gain=1.0, coef_max=1e9)]
        )
        p.policy.lr = lr
        outcome = run_step(p, 0, 0)
        return _mean([after.entropy_BT for after in outcome.after], outcome.views) - mean - lr

    large, small = error(1e-2), error(1e-3)
    assert abs(large) < 2e-3
    assert abs(small) < abs(large) / 30


def _mean(entropies, views):
    values = [each[view.batch.loss_mask_BT] for each, view in zip(entropies, views, strict=True)]
    return float(torch.cat(values).mean())


def test_the_penalty_alone_has_gradient_and_masked_tokens_have_none():
    case = make_case(seed=4, drift=0.4)
    intervention = EntropyProjection(entropy_target=9.0)
    view = case.view()
    dials = intervention.prepare(with_slopes(case))(view.dials, view.batch, view.stats)
    assert_turns_only(dials, case, "penalty_BT")
    gradient = gradient_of(dials, case)
    assert not torch.equal(gradient, gradient_of(view.dials, case))
    assert (gradient[~case.batch.loss_mask_BT] == 0).all()


def test_neutral_is_the_baseline_bit_for_bit_and_costs_nothing():
    for settings in ({"coef_max": 0.0, "entropy_target": 9.0}, {"entropy_target": 0.0}):
        slopes = Fixed(1.0, 1.0)
        assert coefficient(EntropyProjection(**settings), slopes) == 0
        assert slopes.calls == 0
        assert_baseline(EntropyProjection(**settings), make_case(seed=5, drift=0.4))
    p, q = parts(interventions=[EntropyProjection(coef_max=0.0)]), parts()
    run_step(p, 0, 0)
    run_step(q, 0, 0)
    assert torch.equal(p.policy.table, q.policy.table)
    assert "take_gradient" not in p.policy.calls


def test_a_schedule_is_linear_and_then_stays():
    intervention = EntropyProjection(entropy_target=0.4, entropy_target_end=0.2, schedule_steps=4)
    assert [intervention.target(step) for step in range(6)] == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.2, 0.2])


def test_delayed_asks_once_in_a_while_and_goes_on_from_a_checkpoint():
    def run(intervention, slopes, steps):
        trace = []
        for step in steps:
            slopes.value = EntropyProducts(0.1 * step, 2.0)
            trace += [coefficient(intervention, slopes, step=step, update=update) for update in (0, 1)]
        return trace

    settings = {"mode": "delayed", "refresh_every": 3, "entropy_target": MEAN + 0.2}
    slopes = Fixed()
    whole = run(through := EntropyProjection(**settings), slopes, range(6))
    assert slopes.calls == 2
    assert whole[0] == whole[5] == pytest.approx(0.2 * 0.2 / 0.5 / 2.0)
    assert whole[6] == whole[11] == pytest.approx((0.2 * 0.2 / 0.5 + 0.3) / 2.0)
    first = run(half := EntropyProjection(**settings), Fixed(), range(5))
    resumed = EntropyProjection(**settings)
    resumed.load_state_dict(json.loads(json.dumps(dict(half.state_dict()))))
    assert first + run(resumed, later := Fixed(), [5]) == whole
    assert later.calls == 0
    assert resumed.state_dict() == through.state_dict() != {}
    assert EntropyProjection().state_dict() == {}


def test_exact_asks_in_every_update_and_looks_at_the_update():
    slopes, intervention = Fixed(0.1, 2.0), EntropyProjection(entropy_target=MEAN + 0.2)
    for update in range(3):
        coefficient(intervention, slopes, update=update)
    assert slopes.calls == 3
    assert (intervention.population_scope, EntropyProjection(mode="delayed").population_scope) == ("update", "step")


@pytest.mark.parametrize("mode", ["exact", "delayed"])
def test_micro_batches_do_not_matter_in_the_real_loop(mode):
    def table(tokens):
        p = parts(interventions=[EntropyProjection(entropy_target=3.0, mode=mode)], micro_batch_tokens=tokens)
        cursor = 0
        for step in range(3):
            cursor = run_step(p, step, cursor).collected.cursor
        return p.policy.table.detach()

    torch.testing.assert_close(table(8), table(10_000), rtol=0, atol=1e-9)
    assert not torch.equal(table(8), parts().policy.table)


def test_edges_stay_finite():
    assert_finite_at_the_edges(lambda: EntropyProjection(entropy_target=9.0))
    for name, case in edge_cases().items():
        view = case.view()
        for update in (0, 1):
            turn = EntropyProjection(entropy_target=9.0).prepare(with_slopes(case, update=update))
            dials = turn(view.dials, view.batch, view.stats)
            assert torch.isfinite(loss_of(dials, case)), name
            assert torch.isfinite(gradient_of(dials, case)).all(), name


def test_a_total_scale_turns_the_sum_into_a_mean():
    slopes = Fixed(0.3, 2.0)
    slopes.total_scale = 3.0
    settings = {"gain": 0.5, "entropy_target": MEAN + 0.2}
    assert coefficient(EntropyProjection(**settings), slopes) == pytest.approx((3 * 0.5 * 0.2 / 0.5 + 0.3) / 2.0)
