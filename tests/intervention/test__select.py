from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.intervention import Population
from steerctl.intervention._select import (
    entropy_reduction,
    gather_ordered,
    largest,
    token_ids,
    uniform_draws,
    values_at,
)
from tests.batches import cut, make_case
from tests.oracles import intervention_a as oracle


def population(cases):
    return Population(tuple(case.view() for case in cases), lambda value: [value])


def test_an_identity_names_the_row_of_the_step_and_the_position():
    case = make_case(rows=3, length=4)
    batch = replace(case.batch, row_B=torch.tensor([5, 0, -1]))
    assert token_ids(batch)[0].tolist() == [5 * 2**32 + t for t in range(4)]
    assert token_ids(batch)[1].tolist() == [0, 1, 2, 3]
    assert (token_ids(batch)[2] < 0).all()


def test_order_and_values_do_not_depend_on_the_cut():
    case = make_case(seed=1)

    def measure(_dials, _batch, stats):
        return stats.entropy_BT

    whole = gather_ordered(population([case]), measure)
    pieces = gather_ordered(population(cut(case, [1, 3, 2])[::-1]), measure)
    assert torch.equal(whole.ids_N, pieces.ids_N)
    assert torch.equal(whole.values[0], pieces.values[0])
    assert (whole.ids_N.diff() > 0).all()
    for part in cut(case, [4, 2]):
        restored = values_at(part.batch, whole.ids_N, whole.values[0])
        assert torch.equal(restored, torch.where(part.batch.loss_mask_BT, part.stats.entropy_BT, 0.0))


def test_largest_takes_the_smaller_identity_among_equals():
    ids, values = torch.tensor([3, 5, 8, 9]), torch.tensor([1.0, 2.0, 2.0, 2.0])
    assert largest(ids, values, 2).tolist() == [5, 8]
    assert largest(ids, values, 0).tolist() == []
    assert largest(ids, values, 9).tolist() == [5, 8, 9, 3]


def test_draws_are_splitmix_and_depend_on_seed_step_and_identity_alone():
    ids = torch.tensor([0, 1, 2**32 + 7, 40 * 2**32 + 3000])
    actual = uniform_draws(3, 11, ids)
    assert actual.tolist() == [oracle.splitmix(3, 11, value) for value in ids.tolist()]
    assert torch.equal(uniform_draws(3, 11, ids.flip(0)), actual.flip(0))
    assert not torch.equal(uniform_draws(4, 11, ids), actual)
    assert not torch.equal(uniform_draws(3, 12, ids), actual)
    many = uniform_draws(0, 0, torch.arange(20_000))
    assert float(many.mean()) == pytest.approx(0.5, abs=0.01)
    assert np.histogram(many.numpy(), 10, (0, 1))[0].min() > 1800


def test_splitmix_vector():
    """First output of the reference generator with seed 0 is 0xE220A8397B1DCDAF."""
    assert oracle.splitmix(0) == (0xE220A8397B1DCDAF >> 11) / 2**53


@pytest.mark.parametrize("seed", range(3))
def test_covariance_is_that_of_clip_cov_and_the_others_are_minus_the_entropy_change(seed):
    case = make_case(seed=seed, drift=0.8)
    view, mask = case.view(), case.batch.loss_mask_BT
    covariance = entropy_reduction("covariance", population([case]))(view.dials, view.batch, view.stats)
    arrays = [t[mask].detach().double().numpy() for t in (case.batch.advantages_BT, case.stats.logprobs_BT)]
    np.testing.assert_allclose(covariance[mask].numpy(), oracle.covariances(*arrays), rtol=1e-10, atol=1e-12)
    assert not covariance.requires_grad
    exact = entropy_reduction("exact", population([case]))(view.dials, view.batch, view.stats)
    own_slope = torch.autograd.grad(case.stats.entropy_BT.sum(), case.logits_BTV, retain_graph=True)[0]
    ratio = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp()
    step = torch.autograd.grad((ratio * view.dials.advantages_BT).sum(), case.logits_BTV, retain_graph=True)[0]
    torch.testing.assert_close(exact, -(own_slope * step).sum(-1), rtol=1e-4, atol=1e-6)
