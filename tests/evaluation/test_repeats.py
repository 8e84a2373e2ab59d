"""Error bars over fresh samples of the same questions."""

import numpy as np
import pytest
from scipy import stats

from steerctl.evaluation.repeats import interval_of, macro_sample_interval, sample_interval, sample_variances


def test_one_question_is_a_plain_t_interval():
    samples = np.array([[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.5]])
    found = sample_interval(samples)
    low, high = stats.t.interval(0.95, 6, samples.mean(), stats.sem(samples[0]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.population, found.freedom) == ("these questions", 6)


def test_two_questions_are_welch():
    left, right = np.array([1, 0, 0, 1, 1, 0]), np.array([1, 1, 1, 0, 1, 1])
    found = sample_interval([left, right])
    welch = stats.ttest_ind(left, -right, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_it_is_blind_to_how_questions_differ():
    """A half of the questions always right, the other never: nothing to resample, so no interval is claimed."""
    found = sample_interval(np.repeat([[1.0], [0.0]], 4, axis=1))
    assert (found.value, found.low, found.method) == (0.5, None, "none")


def test_one_sample_says_nothing():
    assert sample_interval([[1.0], [0.0], [1.0]]).low is None


def test_macro_counts_benchmarks_alike():
    random = np.random.default_rng(0)
    parts = [random.integers(0, 2, (30, 4)), random.integers(0, 2, (100, 2))]
    found = macro_sample_interval(parts)
    errors = [sample_interval(each).error for each in parts]
    assert found.error == pytest.approx(np.hypot(*errors) / 2)
    assert found.value == pytest.approx((parts[0].mean() + parts[1].mean()) / 2)
    assert macro_sample_interval([parts[0], [[1.0], [0.0]]]).low is None, "one benchmark has a single sample each"


def test_a_difference_adds_both_sides():
    correct = np.array([[1, 0, 1, 1], [0, 0, 1, 0]])
    one = sample_variances(correct)
    both = interval_of(0.0, [one, one])
    assert both.error == pytest.approx(np.sqrt(2) * sample_interval(correct).error)


@pytest.mark.parametrize(("questions", "samples"), [(30, 2), (30, 32), (272, 4)])
def test_95_percent_cover_95_percent(questions, samples):
    """1,000 worlds of fresh samples: a standard error of 0.7 points, four of them allowed."""
    random = np.random.default_rng(5)
    chances = random.beta(0.5, 1, questions)
    covered = 0
    for _ in range(1_000):
        found = sample_interval((random.random((questions, samples)) < chances[:, None]).astype(float))
        covered += found.low <= chances.mean() <= found.high
    assert 0.922 <= covered / 1_000 <= 0.978
