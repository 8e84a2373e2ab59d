"""Resampling of problems."""

import numpy as np
import pytest

from steerctl.analysis.bootstrap import Clusters, Estimate, estimate, numbers, quotient


def test_sums_go_by_problem():
    clusters = Clusters.of(["b", "a", "b"])
    assert clusters.sums(np.array([[1.0, 2.0, 4.0]])).tolist() == [[2.0], [5.0]]


def test_the_sample_comes_first_and_every_draw_has_as_many_problems():
    draws = Clusters.of(np.arange(7)).draws(50, seed=1)
    assert draws.shape == (51, 7)
    assert draws[0].tolist() == [1.0] * 7
    assert set(draws.sum(axis=1)) == {7.0}


def test_one_problem_has_no_interval():
    assert Clusters.of(["a", "a"]).draws(50, seed=1).tolist() == [[1.0]]
    assert estimate(np.array([2.0])) == Estimate(2.0, None, None)


def test_undefined_resamples_do_not_count():
    found = estimate(np.array([1.0, np.nan, *np.linspace(0, 1, 101)]), level=0.9)
    assert (found.value, found.low, found.high) == (1.0, pytest.approx(0.05), pytest.approx(0.95))
    assert estimate(np.array([np.nan, 1.0])) == Estimate(None, None, None)


def test_nothing_is_divided_by_zero():
    assert np.isnan(quotient(np.array([1.0, 1.0]), np.array([0.0, 2.0]))).tolist() == [True, False]


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]], [np.inf]])
def test_only_numbers_are_numbers(values):
    with pytest.raises(ValueError, match="x: "):
        numbers(values, "x")
