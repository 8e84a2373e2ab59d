from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.opefo import Opefo
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
from tests.oracles import intervention as forms
from tests.oracles import intervention_b as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper: .*?(?=\n\n)", Opefo.__doc__, re.DOTALL | re.MULTILINE).group())


def changes(case, estimator="exact", low=0.2, high=0.2):
    """Ω of each trained token in float64, from its definition."""
    mask, batch = case.batch.loss_mask_BT, case.batch
    tensors = (batch.advantages_BT, case.stats.logprobs_BT, batch.old_stats.logprobs_BT)
    advantages, logp, old = (tensor[mask].detach().double().numpy() for tensor in tensors)
    ratio = np.exp(logp - old)
    passes = ~(((advantages > 0) & (ratio > 1 + high)) | ((advantages < 0) & (ratio < 1 - low)))
    entropy, mean_score = (t[mask].detach().double().numpy() for t in (case.stats.entropy_BT, case.stats.mean_score_BT))
    return forms.own_change(passes * ratio * advantages, logp, entropy, mean_score, estimator)


def weights(method, case, **when):
    return turned(method, case, **when).weight_BT[case.batch.loss_mask_BT].double().numpy()


def two_tokens(first, second):
    """A case of two trained tokens, π = ½ of two and S̄ = 0, so that Ω = −A·S_a with S_a = ½(ln ½ + H)."""
    case = make_case(rows=1, length=4)
    zero = torch.zeros(1, 4)
    stats = replace(case.stats, logprobs_BT=zero + np.log(0.5), entropy_BT=zero + 1.0, mean_score_BT=zero)
    batch = replace(
        case.batch,
        loss_mask_BT=torch.tensor([[True, True, False, False]]),
        advantages_BT=torch.tensor([[first, second, 9.0, -9.0]]),
        old=stats,
        num_tokens=2,
    )
    return replace(case, batch=batch, stats=stats)


def test_presets_stand_in_the_docstring():
    assert Opefo(**PRESETS["paper"]) == Opefo()
    assert Opefo(**PRESETS["static"]).fixed_lambda == 0.001


def test_golden():
    # falls 3, rises 1 (in units of S_a): λ* = (3 − 1)/(3 + 1) = ½, and ½·3 = 1½·1
    dials = turned(Opefo(), two_tokens(3.0, -1.0))
    assert dials.weight_BT[0].tolist() == pytest.approx([0.5, 1.5, 1.0, 1.0])
    assert turned(Opefo(), two_tokens(2.0, 1.0)).weight_BT[0].tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0])
    limited = turned(Opefo(lambda_max=0.25), two_tokens(3.0, -1.0))
    assert limited.weight_BT[0].tolist() == pytest.approx([0.75, 1.25, 1.0, 1.0])
    static = turned(Opefo(**PRESETS["static"]), two_tokens(3.0, -1.0))
    assert static.weight_BT[0].tolist() == pytest.approx([0.999, 1.001, 1.0, 1.0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("estimator", ["exact", "own_logit", "squared", "covariance"])
def test_oracle_and_the_flow_it_leaves(seed, estimator):
    case = make_case(seed=seed, drift=0.8, rows=8, length=20)
    omega = changes(case, estimator)
    balance, expected = oracle.opefo(omega.tolist())
    actual = weights(Opefo(estimator=estimator), case)
    np.testing.assert_allclose(actual, expected, rtol=2e-6)
    assert abs(balance) > 0.01
    if estimator != "covariance":  # its Ω is no change of any state
        assert abs((actual * omega).sum()) < 1e-5 * np.abs(omega).sum()
    assert (omega == 0).any() == (estimator != "covariance")  # clipped tokens


def test_the_sign_of_lambda_follows_the_flow():
    case = make_case(seed=1, drift=0.0)
    for sign in (1.0, -1.0):
        turned_case = replace(case, batch=replace(case.batch, advantages_BT=sign * case.batch.advantages_BT))
        omega = changes(turned_case)
        actual = weights(Opefo(), turned_case)
        falls = omega.sum() < 0
        assert (actual[omega < 0] < 1).all() == falls
        assert (actual[omega > 0] > 1).all() == falls


def test_weights_are_detached_and_scale_each_token_s_gradient():
    case = make_case(seed=2, drift=0.5)
    dials = turned(Opefo(), case)
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT")
    expected = gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)


def test_earlier_weights_and_bounds_count():
    case = make_case(seed=3, drift=0.8)
    halved = replace(case.view().dials, weight_BT=torch.where(case.batch.advantages_BT > 0, 0.5, 1.0))
    after = turned(Opefo(), case, halved).weight_BT / halved.weight_BT
    assert not torch.allclose(after, turned(Opefo(), case).weight_BT, atol=1e-3)
    wide = ClipHigher(clip_ratio_low=0.99, clip_ratio_high=5.0).apply(case.view().dials, case.batch, case.stats)
    expected = oracle.opefo(changes(case, low=0.99, high=5.0).tolist())[1]
    actual = turned(Opefo(), case, wide).weight_BT[case.batch.loss_mask_BT]
    np.testing.assert_allclose(actual.numpy(), expected, rtol=2e-6)


def test_neutral_settings_are_the_baseline_bit_for_bit():
    for neutral in (Opefo(fixed_lambda=0.0), Opefo(lambda_max=0.0), Opefo(lambda_max=0.0, scope="micro_batch")):
        assert_baseline(neutral, make_case(seed=4, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("estimator", ["exact", "own_logit", "released", "covariance"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, estimator):
    method = Opefo(scope=scope, estimator=estimator)
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=5, rows=8, drift=0.5))


def test_a_fixed_lambda_needs_no_population():
    assert Opefo(fixed_lambda=0.1, scope="step").population_scope == "micro_batch"


def test_edges_stay_finite():
    for settings in ({}, {"scope": "micro_batch"}, {"estimator": "covariance"}, {"estimator": "released"}):
        assert_finite_at_the_edges(lambda settings=settings: Opefo(**settings))


def test_no_change_anywhere_leaves_weights_alone():
    case = make_case(seed=6)
    zero = replace(case, batch=replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT)))
    assert (turned(Opefo(), zero).weight_BT == 1).all()


def test_lambda_out_of_range_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Opefo(fixed_lambda=1.5)
