from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention.gaussian_covariance import GaussianCovariance
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
from tests.oracles import intervention_a as statistics
from tests.oracles import intervention_b as oracle


def covariances(case):
    mask = case.batch.loss_mask_BT
    tensors = (case.batch.advantages_BT, case.stats.logprobs_BT)
    return statistics.covariances(*(tensor[mask].detach().double().numpy() for tensor in tensors)).tolist()


def weights(method, case):
    return turned(method, case).weight_BT[case.batch.loss_mask_BT].numpy()


def test_golden():
    # A = ±1, mean 0; log π − mean = (1, 0, 0, −1) gives c = (1, 0, 0, 1), mean ½, σ = ½: w = e^−2, 1, 1, e^−2
    case = make_case(rows=1, length=4)
    stats = replace(case.stats, logprobs_BT=torch.tensor([[-1.0, -2.0, -2.0, -3.0]]))
    batch = replace(
        case.batch,
        loss_mask_BT=torch.ones(1, 4, dtype=torch.bool),
        advantages_BT=torch.tensor([[1.0, 1.0, -1.0, -1.0]]),
        old=stats,
        num_tokens=4,
    )
    case = replace(case, batch=batch, stats=stats)
    plain = [np.exp(-2), 1, 1, np.exp(-2)]
    assert weights(GaussianCovariance(mean_preserving=False), case).tolist() == pytest.approx(plain)
    assert weights(GaussianCovariance(), case).tolist() == pytest.approx([w * 4 / sum(plain) for w in plain])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("mean_preserving", [True, False])
def test_oracle(seed, bandwidth, mean_preserving):
    case = make_case(seed=seed, drift=0.5, rows=8, length=20)
    method = GaussianCovariance(bandwidth=bandwidth, mean_preserving=mean_preserving)
    expected = oracle.gaussian_weights(covariances(case), bandwidth, mean_preserving=mean_preserving)
    actual = weights(method, case)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-12)
    assert abs(actual.mean() - 1) < 1e-6 or not mean_preserving
    order = np.argsort(np.abs(covariances(case)))
    assert (np.diff(actual[order]) <= 1e-6).all()


def test_it_damps_rises_and_falls_alike():
    case = make_case(seed=1)
    flipped = replace(case, batch=replace(case.batch, advantages_BT=-case.batch.advantages_BT))
    np.testing.assert_allclose(weights(GaussianCovariance(), flipped), weights(GaussianCovariance(), case), rtol=1e-6)


def test_weights_are_detached_and_scale_each_token_s_gradient():
    case = make_case(seed=2, drift=0.3)
    dials = turned(GaussianCovariance(), case)
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT")
    expected = gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)


def test_other_estimators_damp_other_tokens():
    case = make_case(seed=3, drift=0.3)
    found = {e: weights(GaussianCovariance(estimator=e), case) for e in ("covariance", "exact")}
    assert not np.allclose(found["covariance"], found["exact"], atol=0.05)
    assert found["exact"].mean() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mean_preserving", [True, False])
def test_an_infinite_bandwidth_is_the_baseline_bit_for_bit(mean_preserving):
    method = GaussianCovariance(bandwidth=float("inf"), mean_preserving=mean_preserving)
    assert_baseline(method, make_case(seed=4, drift=0.5))
    assert_finite_at_the_edges(lambda: method)


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("estimator", ["covariance", "exact"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, estimator):
    method = GaussianCovariance(scope=scope, estimator=estimator)
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=5, rows=8, drift=0.5))


def test_edges_stay_finite():
    for settings in ({}, {"scope": "micro_batch"}, {"estimator": "exact"}, {"bandwidth": 1e-3}):
        assert_finite_at_the_edges(lambda settings=settings: GaussianCovariance(**settings))


def test_equal_covariances_leave_weights_alone():
    case = make_case(seed=6)
    zero = replace(case, batch=replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT)))
    assert (turned(GaussianCovariance(), zero).weight_BT == 1).all()


def test_a_kernel_without_width_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        GaussianCovariance(bandwidth=0.0)
