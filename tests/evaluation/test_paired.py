"""Comparing two models on the same questions."""

import numpy as np
import pytest
from scipy import stats

from steerctl.errors import UserError
from steerctl.evaluation.paired import Samples, compare, compare_macro
from steerctl.evaluation.permutation import sign_flip_p
from steerctl.evaluation.power import detectable
from steerctl.evaluation.repeats import sample_interval

RANDOM = np.random.default_rng(6)


def two_sides(questions, samples, lost=0.2):
    chances = RANDOM.beta(0.6, 0.9, questions)
    left = RANDOM.random((questions, samples)) < chances[:, None]
    right = RANDOM.random((questions, samples)) < (1 - lost) * chances[:, None]
    return Samples(left, right)


def test_the_unit_is_the_question():
    samples = two_sides(30, 8)
    found = compare(samples)
    reference = stats.ttest_rel(samples.left_PG.mean(axis=1), samples.right_PH.mean(axis=1))
    low, high = reference.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))
    assert found.p_value == sign_flip_p(samples.left_PG.mean(axis=1) - samples.right_PH.mean(axis=1))
    assert found.p_value == pytest.approx(reference.pvalue, abs=0.03)
    assert found.detectable == pytest.approx(detectable(found.difference.error, 29))


def test_pairing_beats_two_separate_error_bars():
    samples = two_sides(200, 8)
    alone = np.hypot(stats.sem(samples.left_PG.mean(axis=1)), stats.sem(samples.right_PH.mean(axis=1)))
    assert compare(samples).difference.error < 0.5 * alone


def test_these_questions_add_the_noise_of_both_sides():
    samples = two_sides(50, 4)
    both = [sample_interval(each).error for each in (samples.left_PG, samples.right_PH)]
    assert compare(samples).fixed.error == pytest.approx(np.hypot(*both))
    assert compare(two_sides(50, 1)).fixed.low is None


def test_numbers_of_samples_may_differ():
    found = compare(Samples([[1, 0], [1, 1], [0, 1]], [[0, 0, 1], [1, 0, 1], [0, 0, 0]]))
    assert found.difference.value == pytest.approx((0.5 - 1 / 3 + 1 - 2 / 3 + 0.5) / 3)


def test_other_questions_are_refused():
    with pytest.raises(UserError, match="found 2 and 1"):
        compare(Samples([[1], [0]], [[1]]))


def test_identical_sides_are_not_told_apart():
    left = two_sides(60, 4).left_PG
    found = compare(Samples(left, left))
    assert (found.difference.value, found.p_value, found.detectable) == (0.0, 1.0, None)


def test_macro():
    benchmarks = {"a": two_sides(30, 8), "b": two_sides(272, 1), "c": two_sides(100, 2)}
    found = compare_macro(benchmarks)
    parts = [compare(each).difference for each in benchmarks.values()]
    assert found.difference.value == pytest.approx(np.mean([each.value for each in parts]))
    assert found.difference.error == pytest.approx(np.sqrt(sum(each.error**2 for each in parts)) / 3)
    assert found.fixed.low is None, "b has one sample of each question"
    assert 0 < found.p_value < 1
