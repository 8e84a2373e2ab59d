from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from steerctl.intervention.kl_cov import KlCov
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    loss_of,
    turned,
)
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper_7b: .*?(?=\n\n)", KlCov.__doc__, re.DOTALL | re.MULTILINE).group())
EAGER = KlCov(kl_cov_ratio=0.2, kl_coef=0.5)


def penalties(method, case, **when):
    return turned(method, case, **when).penalty_BT[case.batch.loss_mask_BT].detach().numpy()


def test_presets_stand_in_the_docstring():
    assert KlCov(**PRESETS["paper_7b"]) == KlCov()
    found = {name: (KlCov(**p).kl_cov_ratio, KlCov(**p).kl_coef) for name, p in PRESETS.items()}
    assert found == {"paper_7b": (0.002, 1.0), "paper_32b": (0.0002, 1.0), "verl": (0.0002, 0.1)}


def test_golden_one_of_four():
    # cov = 1.5, .5, .5, 4.5 less the means; the last is the largest, and moved by 0.25.
    case = make_case(rows=1, length=4)
    stats = replace(case.stats, logprobs_BT=torch.tensor([[0.0, -1.0, -2.0, -5.0]]))
    old = replace(stats, logprobs_BT=stats.logprobs_BT + torch.tensor([[0.5, 0.5, 0.5, 0.25]]))
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    batch = replace(case.batch, loss_mask_BT=mask, advantages_BT=advantages, old=old, num_tokens=4)
    case = replace(case, batch=batch, stats=stats)
    assert penalties(KlCov(kl_coef=2.0), case).tolist() == [0, 0, 0, 0.5]
    assert penalties(KlCov(kl_cov_ratio=0.5), case).tolist() == [0.5, 0, 0, 0.25]
    assert penalties(KlCov(kl_cov_ratio=0.5, dead_band=0.3), case).tolist() == [0.5, 0, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_oracle(seed):
    case = make_case(seed=seed, drift=0.8, rows=8, length=20)
    mask = case.batch.loss_mask_BT
    advantages, logprobs, old = (
        t[mask].detach().double().numpy()
        for t in (case.batch.advantages_BT, case.stats.logprobs_BT, case.batch.old_stats.logprobs_BT)
    )
    covariance = oracle.covariances(advantages, logprobs)
    held = np.argsort(covariance)[::-1][: max(1, int(0.1 * len(covariance)))]
    expected = np.zeros(len(covariance))
    expected[held] = 0.7 * np.abs(logprobs - old)[held]
    actual = penalties(KlCov(kl_cov_ratio=0.1, kl_coef=0.7), case)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    losses = -advantages * np.exp(logprobs - old) + expected
    dials = turned(KlCov(kl_cov_ratio=0.1, kl_coef=0.7), case)
    assert loss_of(dials, case).item() == pytest.approx(losses.mean(), rel=1e-5)


def test_the_penalty_alone_has_gradient_and_it_is_the_coefficient_times_a_sign():
    case = make_case(seed=1, drift=0.5)
    dials = turned(EAGER, case)
    assert_detached(dials, penalty=True)
    assert_turns_only(dials, case, "penalty_BT", "clip_low_BT", "clip_high_BT")
    leaf = case.stats.logprobs_BT.detach().requires_grad_()
    moved = replace(case, stats=replace(case.stats, logprobs_BT=leaf))
    slope = torch.autograd.grad(turned(EAGER, moved).penalty_BT.sum(), leaf)[0]
    held = dials.penalty_BT.detach() > 0
    assert int(held.sum()) == int(0.2 * case.batch.num_tokens)
    distance = leaf.detach() - case.batch.old_stats.logprobs_BT
    torch.testing.assert_close(slope, torch.where(held, 0.5 * distance.sign(), 0.0))


def test_no_clip_unless_it_is_kept():
    case = make_case(seed=2, drift=1.5)
    free = turned(KlCov(kl_coef=0.0), case)
    ratio = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp()
    expected = -(ratio * case.batch.advantages_BT)[case.batch.loss_mask_BT].mean()
    torch.testing.assert_close(loss_of(free, case), expected)
    kept = turned(KlCov(remove_clip=False), case)
    assert_turns_only(kept, case, "penalty_BT")


def test_on_the_first_update_it_does_nothing_even_where_two_forward_passes_differ_and_says_so():
    for drift in (0.0, 1e-4):
        case = make_case(seed=3, drift=drift)
        dials = turned(EAGER, case, update=0)
        assert (dials.penalty_BT == 0).all()
        assert torch.equal(gradient_of(dials, case), gradient_of(case.view().dials, case))
    assert KlCov.inert_when_on_policy


def test_other_estimators_hold_other_tokens():
    case = make_case(seed=4, drift=0.5)
    held = {e: penalties(EAGER.model_copy(update={"estimator": e}), case) > 0 for e in ("covariance", "exact")}
    assert (held["covariance"] != held["exact"]).any()
    assert held["exact"].sum() == held["covariance"].sum()


def test_neutral_settings_are_the_baseline_bit_for_bit():
    case = make_case(seed=5, drift=0.5)
    assert_baseline(KlCov(kl_cov_ratio=0.0, remove_clip=False), case)
    assert_baseline(KlCov(kl_coef=0.0, remove_clip=False), case)


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("estimator", ["covariance", "exact"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, estimator):
    method = EAGER.model_copy(update={"scope": scope, "estimator": estimator})
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=6, rows=8, drift=0.5))
    alike = make_case(seed=6, rows=8, drift=0.5)
    zero = replace(alike.batch, advantages_BT=torch.zeros_like(alike.batch.advantages_BT))
    assert_same_in_every_cut(lambda: method, replace(alike, batch=zero))


def test_edges_stay_finite():
    for scope in ("micro_batch", "update"):
        assert_finite_at_the_edges(lambda scope=scope: EAGER.model_copy(update={"scope": scope}))
