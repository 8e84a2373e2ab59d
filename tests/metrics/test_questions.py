"""pass@k against counting every draw; the interval against theory, and where resampling knows no doubt."""

from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest

from steerctl.metrics.questions import mean_interval, pass_at


@pytest.mark.parametrize(("samples", "right"), [(1, 0), (1, 1), (4, 0), (4, 1), (4, 3), (6, 2), (6, 6)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(samples: int, right: int) -> None:
    answers = [True] * right + [False] * (samples - right)
    for k in range(1, samples + 1):
        draws = list(combinations(answers, k))
        assert pass_at(k, right, samples) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_samples_is_exact() -> None:
    assert pass_at(100, 3, 1000) == pytest.approx(1 - comb(997, 100) / comb(1000, 100), rel=1e-12)


def test_more_draws_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 5 samples"):
        pass_at(5, 1, 4)


def test_the_interval_is_that_of_the_questions() -> None:
    values = np.random.default_rng(0).binomial(8, 0.4, size=400) / 8
    found = mean_interval(values.tolist())
    width = 1.96 * values.std() / sqrt(values.size)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - width, abs=0.1 * width)
    assert found.high == pytest.approx(values.mean() + width, abs=0.1 * width)
    assert found == mean_interval(values.tolist())


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [mean_interval((rng.random(60) < 0.3).astype(float).tolist()) for _ in range(200)]
    assert 0.89 < np.mean([each.low <= 0.3 <= each.high for each in found]) <= 1.0


def test_never_right_is_not_certainly_never() -> None:
    found = mean_interval([0.0] * 500)
    assert (found.mean, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(3 / 500, rel=0.01)  # the rule of three
    assert mean_interval([1.0] * 500).low == pytest.approx(1 - 3 / 500, rel=0.01)


def test_no_questions_have_no_accuracy() -> None:
    with pytest.raises(ValueError, match="no questions"):
        mean_interval([])
