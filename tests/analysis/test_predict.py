"""The prediction columns against softmaxes written out, and their means over micro-batches and ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.analysis.columns import COLUMNS, ESTIMATES
from steerctl.analysis.predict import predictions, update_means
from steerctl.entropy.change import covariance_population
from steerctl.intervention import View
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import cut, make_case

FACTORS = (
    "advantage", "weight", "ratio", "passes", "coefficient", "logprob", "entropy", "mean_score", "quadrant",
    "quadrant_exact",
)  # fmt: skip


def alone(value):
    return [value]


@pytest.fixture(scope="module")
def case():
    return make_case(seed=3, rows=20, drift=0.6, dtype=torch.float64)


def weighted(case):
    view = case.view()
    weight_BT = torch.rand(view.dials.weight_BT.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return View(replace(view.dials, weight_BT=weight_BT), view.batch, view.stats)


def foretold(view, **settings):
    return predictions(view, view.batch.loss_mask_BT, update_means([view], alone), **settings)


def test_every_column_has_its_name_and_nothing_is_left_out(case):
    view = weighted(case)
    found = foretold(view, sensitivity_BT=torch.ones_like(view.stats.logprobs_BT))
    assert set(found) == {*FACTORS, *ESTIMATES}
    assert set(found) <= set(COLUMNS)
    assert {len(values) for values in found.values()} == {int(view.batch.loss_mask_BT.sum())}
    assert "influence" not in foretold(view)


def test_factors_and_exact_form_are_those_of_the_whole_softmax(case):
    """What dz = η·w·(e_a − π) does to H of the written-out softmax, by differentiation."""
    view = weighted(case)
    found = foretold(view)
    mask = view.batch.loss_mask_BT
    logits_NV = case.logits_BTV.detach()[mask]
    targets_N = view.batch.target_ids_BT[mask]
    logp_NV = logits_NV.log_softmax(dim=-1)
    assert found["logprob"] == pytest.approx(logp_NV.gather(1, targets_N[:, None])[:, 0].numpy())
    ratio = np.exp(found["logprob"] - view.batch.old_stats.logprobs_BT[mask].numpy())
    advantage = view.dials.advantages_BT[mask].numpy()
    clipped = ((advantage > 0) & (ratio > 1.2)) | ((advantage < 0) & (ratio < 0.8))
    assert 0 < clipped.sum() < len(clipped)
    weight = view.dials.weight_BT[mask].numpy() * ratio * advantage * ~clipped
    assert found["coefficient"] == pytest.approx(weight)
    assert (found["passes"] == ~clipped).all()
    step_NV = torch.from_numpy(weight)[:, None] * (torch.nn.functional.one_hot(targets_N, 7) - logp_NV.exp())

    def entropy(z):
        logp = z.log_softmax(dim=-1)
        return -(logp.exp() * logp).sum(dim=-1)

    change_N = torch.func.jvp(entropy, (logits_NV,), (step_NV,))[1]
    assert found["exact"] == pytest.approx(change_N.numpy(), abs=1e-12)
    signs = {0: 0, 1: -1, 2: 1, 3: -1, 4: 1}
    told = np.array([signs[int(each)] for each in found["quadrant_exact"]])
    passing = found["passes"] & (np.abs(found["exact"]) > 1e-12)
    assert (np.sign(found["exact"])[passing] == told[passing]).all()


def test_population_forms_are_the_sums_over_the_vocabulary(case):
    view = weighted(case)
    found = foretold(view)
    mask = view.batch.loss_mask_BT
    logp_NV = case.logits_BTV.detach()[mask].log_softmax(dim=-1)
    weight_NV = torch.zeros_like(logp_NV)
    weight_NV.scatter_(1, view.batch.target_ids_BT[mask][:, None], torch.from_numpy(found["coefficient"])[:, None])
    for name, natural in (("population", False), ("population_natural", True)):
        expected = covariance_population(logp_NV, weight_NV, natural=natural)
        assert found[name] == pytest.approx(expected.numpy(), abs=1e-12), name


def test_covariance_is_centred_over_the_whole_update_however_it_is_cut(case):
    whole = case.view()
    views = [part.view() for part in cut(case, [3, 10, 7])]
    means = update_means([whole], alone)
    shares = [_sums(views[:1]), _sums(views[1:])]
    for again in (update_means(views, alone), update_means(views[:1], lambda _: shares)):
        assert (again.weight, again.logprobs) == pytest.approx((means.weight, means.logprobs))
    found = np.concatenate([predictions(view, view.batch.loss_mask_BT, means)["covariance"] for view in views])
    assert found == pytest.approx(foretold(whole)["covariance"])
    assert found.mean() == pytest.approx(
        -np.cov(foretold(whole)["coefficient"], foretold(whole)["logprob"], bias=True)[0, 1]
    )


def _sums(views):
    kept = []
    update_means(views, lambda value: kept.append(value) or [value])
    return kept[0]


def test_influence_is_the_coefficient_times_the_sensitivity(case):
    view = weighted(case)
    slope_BT = torch.randn(view.stats.logprobs_BT.shape, dtype=torch.float64)
    found = foretold(view, sensitivity_BT=slope_BT)
    assert found["influence"] == pytest.approx(found["coefficient"] * slope_BT[view.batch.loss_mask_BT].numpy())


def test_a_dual_clip_lets_nothing_through(case):
    view = case.view(PpoClip(dual_clip=1.1))
    stopped = foretold(view)["passes"] & ~foretold(view, dual_clip=1.1)["passes"]
    assert stopped.any()
    assert (foretold(view, dual_clip=1.1)["coefficient"][stopped] == 0).all()


def test_only_the_tokens_of_the_mask(case):
    view = weighted(case)
    mask = view.batch.loss_mask_BT & (torch.rand(view.batch.loss_mask_BT.shape) < 0.5)
    means = update_means([view], alone)
    some, every = predictions(view, mask, means), foretold(view)
    inside = mask[view.batch.loss_mask_BT].numpy()
    for name, values in some.items():
        assert np.array_equal(values, every[name][inside]), name
