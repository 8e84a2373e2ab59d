"""avg@k and pass@k against the definition: every subset of k samples."""

from itertools import combinations

import numpy as np
import pytest

from steerctl.errors import UserError
from steerctl.evaluation.pass_at_k import avg_at_k, pass_at_k


def test_avg_is_the_mean_of_a_question():
    assert avg_at_k([[1, 0, 0, 1], [1, 1, 1, 0.5]]).tolist() == [0.5, 0.875]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
def test_pass_is_the_share_of_subsets_with_a_right_one(k):
    rows = np.array([[float(index < right) for index in range(6)] for right in range(7)])
    expected = [np.mean([max(subset) for subset in combinations(row, k)]) for row in rows]
    assert pass_at_k(rows, k) == pytest.approx(expected, abs=1e-14)


def test_many_samples_do_not_overflow():
    correct = np.zeros((1, 20_000))
    correct[0, :3] = 1
    assert pass_at_k(correct, 10_000)[0] == pytest.approx(1 - 0.5**3, abs=1e-4)


def test_pass_at_1_is_avg():
    correct = np.random.default_rng(0).integers(0, 2, (20, 8))
    assert pass_at_k(correct, 1) == pytest.approx(avg_at_k(correct), abs=1e-15)


@pytest.mark.parametrize("k", [0, 5])
def test_more_than_there_are_is_refused(k):
    with pytest.raises(UserError, match="there are 4; raise samples"):
        pass_at_k(np.ones((2, 4)), k)


def test_half_right_is_not_right():
    with pytest.raises(UserError, match="neither 0 nor 1"):
        pass_at_k([[0.5, 1.0]], 1)
