from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention._select import token_ids
from steerctl.intervention.clip_cov import ClipCov
from steerctl.intervention.clip_higher import ClipHigher
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
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper: .*?(?=\n\n)", ClipCov.__doc__, re.DOTALL | re.MULTILINE).group())
EAGER = ClipCov(clip_cov_ratio=0.2, clip_cov_lb=0.05)


def arrays(case):
    mask = case.batch.loss_mask_BT
    tensors = (case.batch.advantages_BT, case.stats.logprobs_BT, case.batch.old_stats.logprobs_BT)
    return [tensor[mask].detach().double().numpy() for tensor in tensors]


def dropped(method, case, **when):
    return (turned(method, case, **when).weight_BT == 0)[case.batch.loss_mask_BT].numpy()


def test_presets_stand_in_the_docstring():
    for name, scope in (("paper", "update"), ("released", "micro_batch")):
        bounds, method = PRESETS[name]
        assert ClipHigher(**bounds).clip_ratio_low == 1.0
        assert ClipCov(**method).scope == scope
    assert ClipCov(**PRESETS["paper"][1]) == ClipCov()


def test_golden_one_of_four():
    # A = ±1, mean 0; log π − mean = (1.5, .5, −.5, −1.5): cov = 1.5, .5, .5, 1.5; (1, 5) leaves the outer two.
    case = make_case(rows=1, length=4)
    full = torch.zeros(1, 4)
    stats = replace(case.stats, logprobs_BT=torch.tensor([[0.0, -1.0, -2.0, -3.0]]))
    batch = replace(
        case.batch,
        loss_mask_BT=full == 0,
        advantages_BT=torch.tensor([[1.0, 1.0, -1.0, -1.0]]),
        old=stats,
        num_tokens=4,
    )
    case = replace(case, batch=batch, stats=stats)
    assert dropped(ClipCov(clip_cov_ratio=1.0), case).tolist() == [True, False, False, True]
    assert dropped(ClipCov(), case).sum() == 1
    assert dropped(ClipCov(clip_cov_lb=1.5), case).sum() == 0
    assert dropped(ClipCov(clip_cov_ub=1.5), case).sum() == 0


@pytest.mark.parametrize("seed", range(4))
def test_oracle(seed):
    case = make_case(seed=seed, drift=0.8, rows=8, length=20)
    advantages, logprobs, old = arrays(case)
    ratio = np.exp(logprobs - old)
    covariance = oracle.covariances(advantages, logprobs)
    clipped = ((advantages > 0) & (ratio > 1.2)) | ((advantages < 0) & (ratio < 0.8))
    eligible = (covariance > 0.05) & (covariance < 5.0) & ~clipped
    ids = token_ids(case.batch)[case.batch.loss_mask_BT].tolist()
    draws = [oracle.splitmix(7, 3, identity) if ok else -1.0 for identity, ok in zip(ids, eligible, strict=True)]
    count = max(1, int(0.1 * len(draws)))
    expected = np.zeros(len(draws), dtype=bool)
    expected[[i for i in np.argsort(draws)[::-1][:count] if eligible[i]]] = True
    method = ClipCov(clip_cov_ratio=0.1, clip_cov_lb=0.05, seed=7)
    np.testing.assert_array_equal(dropped(method, case, step=3), expected)
    assert expected.any()
    assert (clipped & (covariance > 0.05)).any()


def test_the_draw_moves_with_step_and_seed_only():
    case = make_case(seed=1, rows=12, length=20)
    first = dropped(EAGER, case)
    np.testing.assert_array_equal(first, dropped(EAGER, case, update=2))
    assert (first != dropped(EAGER, case, step=1)).any()
    assert (first != dropped(EAGER.model_copy(update={"seed": 1}), case)).any()


def test_every_eligible_token_is_drawn_equally_often():
    case = make_case(seed=1)
    everyone = dropped(ClipCov(clip_cov_ratio=1.0, clip_cov_lb=0.05), case)
    single = ClipCov(clip_cov_ratio=1e-9, clip_cov_lb=0.05)
    counts = sum(dropped(single, case, step=step).astype(int) for step in range(600))
    assert counts.sum() == 600
    assert (counts[~everyone] == 0).all()
    mean = 600 / everyone.sum()
    assert np.abs(counts[everyone] - mean).max() < 5 * np.sqrt(mean)


def test_dropped_tokens_have_no_gradient_the_others_theirs_and_the_denominator_stays():
    case = make_case(seed=2, drift=0.2)
    dials = turned(EAGER, case)
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT")
    expected = gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)
    assert (dials.weight_BT == 0).any()


def test_it_acts_on_policy_and_says_so():
    case = make_case(seed=3, drift=0.0)
    assert dropped(EAGER, case, update=0).any()
    assert not ClipCov.inert_when_on_policy


def test_other_estimators():
    case = make_case(seed=4, drift=0.5)
    sets = {e: dropped(ClipCov(clip_cov_ratio=1.0, clip_cov_lb=1e-4, estimator=e), case) for e in ("exact", "squared")}
    omega = case.stats.logprobs_BT.exp() * (case.stats.logprobs_BT + case.stats.entropy_BT) - case.stats.mean_score_BT
    falls = (omega * case.batch.advantages_BT)[case.batch.loss_mask_BT] > 0.01
    assert (sets["exact"][falls.numpy()]).sum() > 3
    assert (sets["exact"] != sets["squared"]).any()


def test_ratio_zero_is_the_baseline_bit_for_bit():
    assert_baseline(ClipCov(clip_cov_ratio=0.0), make_case(seed=5, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("estimator", ["covariance", "exact"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, estimator):
    case = make_case(seed=6, rows=8, drift=0.5)
    method = EAGER.model_copy(update={"scope": scope, "estimator": estimator})
    assert method.population_scope == scope
    assert dropped(method, case).any()
    assert_same_in_every_cut(lambda: method, case, step=2)


def test_edges_stay_finite():
    for scope in ("micro_batch", "update"):
        assert_finite_at_the_edges(lambda scope=scope: EAGER.model_copy(update={"scope": scope}))


def test_bounds_out_of_order_are_refused():
    with pytest.raises(ValidationError, match="below clip_cov_ub"):
        ClipCov(clip_cov_lb=5.0, clip_cov_ub=1.0)
