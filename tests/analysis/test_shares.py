"""Decomposition: numbers by hand, parts that sum, intervals."""

import numpy as np
import pytest

from steerctl.analysis.shares import decomposition


def test_by_hand():
    parts = {"own": [1.0, -1.0, 0.0, 2.0], "rest": [1.0, 0.0, -2.0, -1.0]}  # together 2, -1, -2, 1
    found = decomposition(parts, [0, 0, 1, 1])
    assert (found["own"].mean.value, found["rest"].mean.value) == (0.5, -0.5)
    assert (found["own"].size.value, found["rest"].size.value) == (0.5, 0.5)
    assert found["own"].fit.value == pytest.approx((2 + 1 + 0 + 2) / 10)
    assert found["rest"].fit.value == pytest.approx((2 + 0 + 4 - 1) / 10)


def test_shares_sum_to_one_and_intervals_hold_the_value():
    rng = np.random.default_rng(0)
    parts = dict(zip(("own_state", "interference", "remainder"), rng.standard_t(3, (3, 300)), strict=True))
    found = decomposition(parts, rng.integers(0, 20, 300), resamples=400)
    assert list(found) == list(parts)
    assert sum(part.size.value for part in found.values()) == pytest.approx(1)
    assert sum(part.fit.value for part in found.values()) == pytest.approx(1)
    for part in found.values():
        for each in (part.mean, part.size, part.fit):
            assert each.low < each.value < each.high


def test_nothing_moved_and_one_problem():
    still = decomposition({"own": [0.0, 0.0], "rest": [0.0, 0.0]}, ["a", "b"])["own"]
    assert (still.mean.value, still.size.value, still.fit.value) == (0, None, None)
    alone = decomposition({"own": [1.0, 2.0]}, ["a", "a"])["own"]
    assert (alone.size.value, alone.size.low) == (1, None)
    opposed = decomposition({"own": [1.0], "rest": [-1.0]}, ["a"])["own"]
    assert (opposed.size.value, opposed.fit.value) == (0.5, None)


def test_bad_input():
    with pytest.raises(ValueError, match="no parts"):
        decomposition({}, [0])
    with pytest.raises(ValueError, match="not one number for each of 2 tokens"):
        decomposition({"own": [1.0, 2.0], "rest": [1.0]}, [0, 1])
    with pytest.raises(ValueError, match="own: expected one number per token"):
        decomposition({"own": [float("nan")]}, [0])
    with pytest.raises(ValueError, match="own: 1 of 2 are not finite"):
        decomposition({"own": [1.0, float("inf")]}, [0, 1])


def test_tokens_that_lack_a_part_are_left_out():
    nan = float("nan")
    some = decomposition({"own": [1.0, nan, 2.0], "rest": [0.5, 7.0, nan]}, ["a", "b", "a"])
    assert some == decomposition({"own": [1.0], "rest": [0.5]}, ["a"])
