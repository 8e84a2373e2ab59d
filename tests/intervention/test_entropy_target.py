from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import LinearConstraint, minimize

from steerctl.errors import SpecError
from steerctl.intervention._kkt import kkt_multiplier
from steerctl.intervention.entropy_target import EntropyTarget
from steerctl.intervention.opefo import Opefo
from steerctl.run.step import run_step
from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    edge_cases,
    gradient_of,
    turned,
)
from tests.intervention.slopes import with_slopes
from tests.run.test_step import parts


def omegas(case):
    """Exact Ω = −w(S_a − S̄) of the trained tokens, from logits, with w = r·A where the clip of 0.2 lets it through."""
    mask = case.batch.loss_mask_BT
    logits = case.logits_BTV.detach().double().numpy()[mask.numpy()]
    targets = case.batch.target_ids_BT[mask].numpy()
    ratio = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp().detach()[mask].double().numpy()
    advantage = case.batch.advantages_BT[mask].double().numpy()
    passes = ~(((advantage > 0) & (ratio > 1.2)) | ((advantage < 0) & (ratio < 0.8)))
    found = []
    for z, a, w in zip(logits, targets, np.where(passes, ratio * advantage, 0.0), strict=True):
        logp = z - z.max() - np.log(np.exp(z - z.max()).sum())
        p = np.exp(logp)
        score = p * (logp - (p * logp).sum())
        found.append(-w * (score[a] - (p * score).sum()))
    return np.array(found)


def solved(omega, flow, low, high):
    """The problem of the docstring by a general solver (trust-region interior point of scipy)."""
    found = minimize(
        lambda x: 0.5 * ((x - 1) ** 2).sum(), np.ones_like(omega), jac=lambda x: x - 1, hess=lambda x: np.eye(len(x)),
        method="trust-constr", constraints=[LinearConstraint(omega[None], flow, flow)],
        bounds=[(low, high)] * len(omega),
        options={"gtol": 1e-12, "xtol": 1e-14, "maxiter": 3000, "barrier_tol": 1e-13},
    )  # fmt: skip
    return found.x


@pytest.mark.parametrize("bounds", [(0.0, 2.0), (0.5, 1.1), (0.0, 50.0)])
@pytest.mark.parametrize("share", [0.7, 0.0, -0.4, 1.6])
def test_the_multiplier_solves_the_problem(bounds, share):
    rng = np.random.default_rng(3)
    omega = rng.normal(size=12) * rng.uniform(size=12) ** 2 - 0.05
    low, high = bounds
    reach = [float(np.where(side * omega > 0, high, low) @ omega) for side in (-1, 1)]
    flow = float(np.clip(share * omega.sum(), 0.95 * reach[0], 0.95 * reach[1]))
    multiplier = kkt_multiplier(torch.from_numpy(omega), flow, low, high)
    ours = np.clip(1 + multiplier * omega, low, high)
    assert ours @ omega == pytest.approx(flow, abs=1e-12)
    np.testing.assert_allclose(ours, solved(omega, flow, low, high), atol=2e-5)


@pytest.mark.parametrize("seed", range(40))
def test_the_multiplier_meets_the_flow_or_says_that_it_cannot(seed):
    rng = torch.Generator().manual_seed(seed)
    omega = (
        torch.randn(30, generator=rng, dtype=torch.float64) * torch.rand(30, generator=rng, dtype=torch.float64) ** 3
    )
    low, high = [(0.0, 2.0), (0.5, 1.2), (0.0, math.inf), (0.9, 1.0)][seed % 4]
    flow = 2 * float(torch.randn(1, generator=rng, dtype=torch.float64))
    multiplier = kkt_multiplier(omega, flow, low, high)
    if math.isfinite(multiplier):
        assert float((1 + multiplier * omega).clamp(low, high) @ omega) == pytest.approx(flow, abs=1e-9)
    else:
        best = torch.where(multiplier * omega > 0, torch.tensor(high), torch.tensor(low)).double() @ omega
        assert float(best) <= flow if multiplier > 0 else float(best) >= flow


def test_golden():
    """Ω = 1, −3: to let nothing flow 1 + μ − 3(1 − 3μ) = 0, μ = 0.2; with λ ≤ 1.1 the first is held: 1.1 = 3 − 9μ."""
    omega = torch.tensor([1.0, -3.0, 0.0], dtype=torch.float64)
    assert kkt_multiplier(omega, 0.0, 0.0, 2.0) == pytest.approx(0.2)
    assert kkt_multiplier(omega, 0.0, 0.0, 1.1) == pytest.approx(1.9 / 9)
    assert kkt_multiplier(omega, -2.0, 0.0, 2.0) == 0
    assert kkt_multiplier(omega, 5.0, 0.0, 2.0) == math.inf
    assert kkt_multiplier(omega, -9.0, 0.0, 2.0) == -math.inf
    assert kkt_multiplier(torch.zeros(3, dtype=torch.float64), 1.0, 0.0, 2.0) == 0


@pytest.mark.parametrize("fraction", [0.0, 0.5, -0.25])
def test_oracle(fraction):
    case = make_case(seed=5, drift=0.4)
    omega = omegas(case)
    assert np.abs(omega).max() > 0.05
    dials = turned(EntropyTarget(flow_fraction=fraction), case)
    weights = dials.weight_BT[case.batch.loss_mask_BT].double().numpy()
    np.testing.assert_allclose(weights, solved(omega, fraction * omega.sum(), 0.0, 2.0), atol=2e-4)
    assert weights @ omega == pytest.approx(fraction * omega.sum(), abs=1e-5)
    assert_turns_only(dials, case, "weight_BT")
    assert_detached(dials)


def test_it_departs_less_than_opefo_from_the_same_flow():
    case = make_case(seed=6, drift=0.1)
    omega = omegas(case)
    distances = []
    for each in (EntropyTarget(weight_max=1e9), Opefo()):
        weights = turned(each, case).weight_BT[case.batch.loss_mask_BT].double().numpy()
        assert weights @ omega == pytest.approx(0, abs=1e-5)
        distances.append(((weights - 1) ** 2).sum())
    assert 0 < distances[0] < 0.8 * distances[1]


def test_out_of_reach_every_token_stands_at_its_bound():
    case = make_case(seed=7, drift=0.2)
    weights = turned(EntropyTarget(flow_fraction=-99.0, weight_min=0.25, weight_max=3.0), case)
    found = weights.weight_BT[case.batch.loss_mask_BT].double().numpy()
    omega = omegas(case)
    rising = np.sign(-99.0 * omega.sum() - omega.sum())
    np.testing.assert_allclose(found, np.where(omega == 0, 1, np.where(rising * omega > 0, 3.0, 0.25)))


def test_influence_of_free_logits_is_the_exact_form():
    """Without shared parameters nothing interferes: slope · N = S̄ − S_a, so both estimators give the same weights."""
    case = make_case(seed=8, drift=0.3, dtype=torch.float64)
    view = case.view()
    chosen = []
    for estimator in ("influence", "exact"):
        turn = EntropyTarget(estimator=estimator).prepare(with_slopes(case))
        chosen.append(turn(view.dials, view.batch, view.stats).weight_BT)
    torch.testing.assert_close(*chosen)
    assert (chosen[0] != 1).any()


def test_a_set_point_is_reached_by_a_small_update():
    """Plain descent on a table whose rows are shared by tokens: the mean entropy moves by T up to second order."""

    def error(lr):
        there = EntropyTarget(estimator="influence", flow="set_point", entropy_target=9.0, weight_max=1e9)
        p = parts(updates_per_step=1)
        p.policy.lr = lr
        views = run_step(p, 0, 0).views
        mean = _mean([view.batch.old_stats.entropy_BT for view in views], views)
        there = there.model_copy(update={"entropy_target": mean + 0.1 * lr, "gain": 1.0, "weight_min": 0.0})
        p = parts(updates_per_step=1, interventions=[there])
        p.policy.lr = lr
        outcome = run_step(p, 0, 0)
        return (_mean([after.entropy_BT for after in outcome.after], outcome.views) - mean - 0.1 * lr) / lr

    large, small = error(1e-1), error(1e-2)
    assert abs(small) < 5e-3
    assert abs(small) < abs(large) / 5


def _mean(entropies, views):
    return float(torch.cat([each[v.batch.loss_mask_BT] for each, v in zip(entropies, views, strict=True)]).mean())


def test_influence_sums_to_the_change_of_the_mean():
    """A free test of the theory: Σ_t influence_t/N is −⟨g_H, P g⟩, the change that the whole update makes."""
    from steerctl.intervention._change import change_measure

    case = make_case(seed=9, drift=0.0, dtype=torch.float64)
    diagonal = torch.rand(case.logits_BTV.shape, dtype=torch.float64) + 0.1
    there = with_slopes(case, diagonal=diagonal)
    change = change_measure("influence", there, entropy_source="live", use_clip_indicator=True)
    change_N = there.gather(change)
    assert float(change_N.mean()) == pytest.approx(-there.slopes.products().against, rel=1e-9)


def test_influence_needs_an_update():
    case = make_case(seed=1)
    with pytest.raises(SpecError, match="needs scope update"):
        turned(EntropyTarget(estimator="influence", scope="micro_batch"), case)
    with pytest.raises(ValidationError, match="needs estimator influence"):
        EntropyTarget(flow="set_point")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("algorithm.interventions.0.scope=step", "needs scope update"),
        ("policy.dtype=bfloat16", "needs float32"),
    ],
)
def test_check_refuses_influence_where_it_cannot_be(override, text):
    base = "algorithm.interventions.0={kind: steer, estimator: influence}"
    path = Path(__file__).parents[2] / "experiments/quickstart/grpo.yaml"
    found = [each for each in check_spec(load_spec(path, [base, override]).spec, None) if each.level == "error"]
    assert any(text in each.text for each in found)
    assert not [e for e in check_spec(load_spec(path, [base]).spec, None) if e.level == "error"]


def test_only_falling_leaves_a_rising_batch_alone():
    case = make_case(seed=5, drift=0.4)
    rising = omegas(case).sum() > 0
    flipped = replace(case, batch=replace(case.batch, advantages_BT=-case.batch.advantages_BT))
    up, down = (case, flipped) if rising else (flipped, case)
    assert torch.equal(turned(EntropyTarget(only_falling=True), up).weight_BT, up.view().dials.weight_BT)
    assert (turned(EntropyTarget(only_falling=True), down).weight_BT != 1).any()


def test_neutral_is_the_baseline_bit_for_bit():
    case = make_case(seed=2, drift=0.5)
    assert_baseline(EntropyTarget(flow_fraction=1.0), case)
    assert_baseline(EntropyTarget(weight_min=1.0, weight_max=1.0), case)


def test_it_knows_neither_micro_batches_nor_ranks():
    assert_same_in_every_cut(EntropyTarget, make_case(seed=4, rows=8, drift=0.3))


def test_influence_knows_no_micro_batches_in_the_real_loop():
    def table(tokens):
        there = EntropyTarget(estimator="influence", flow="set_point", entropy_target=2.2)
        p = parts(interventions=[there], micro_batch_tokens=tokens)
        run_step(p, 0, 0)
        return p.policy.table.detach()

    torch.testing.assert_close(table(8), table(10_000), rtol=0, atol=1e-8)
    assert not torch.equal(table(8), FRESH)


FRESH = parts().policy.table.detach()


def test_edges_stay_finite():
    assert_finite_at_the_edges(EntropyTarget)
    assert_finite_at_the_edges(lambda: EntropyTarget(flow_fraction=-5.0, weight_max=math.inf))
    for name, case in edge_cases().items():
        view = case.view()
        there = EntropyTarget(estimator="influence", flow="set_point", entropy_target=0.1)
        dials = there.prepare(with_slopes(case))(view.dials, view.batch, view.stats)
        assert torch.isfinite(dials.weight_BT).all(), name
        assert torch.isfinite(gradient_of(dials, case)).all(), name
