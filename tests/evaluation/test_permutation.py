"""The sign-flip test against SciPy and by simulation; Holm's correction by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from steerctl.evaluation import permutation
from steerctl.evaluation.permutation import holm, macro_sign_flip_p, sign_flip_p


def by_all_signs(weights):
    """Mid-p over every sign pattern."""
    sums = np.array([abs(np.dot(signs, weights)) for signs in product((-1, 1), repeat=len(weights))])
    observed = abs(sum(weights))
    tied = np.isclose(sums, observed)
    return np.mean(~tied & (sums > observed)) + np.mean(tied) / 2


def test_exact_with_few_questions():
    for seed in range(20):
        differences = np.random.default_rng(seed).integers(-4, 5, 9) / 4
        assert differences.any()
        assert sign_flip_p(differences) == pytest.approx(by_all_signs(differences))


def test_zero_and_one_is_mcnemar_with_half_the_tie():
    """14 questions only left solved, 5 only right: twice P(X > 14) plus P(X = 14), X ~ Binomial(19, ½)."""
    differences = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 281)
    expected = 2 * stats.binom.sf(14, 19, 0.5) + stats.binom.pmf(14, 19, 0.5)
    assert sign_flip_p(differences) == pytest.approx(expected)
    assert stats.binomtest(14, 19).pvalue == pytest.approx(expected + stats.binom.pmf(14, 19, 0.5))


def test_random_flips_agree_with_scipy():
    """Continuous differences have no ties: SciPy's permutation test over signs is the same test."""
    differences = np.random.default_rng(4).normal(0.15, 1, 120)
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    assert sign_flip_p(differences, flips=20_000) == pytest.approx(reference.pvalue, abs=0.012)


def test_random_flips_agree_with_the_exact_test(monkeypatch):
    differences = np.random.default_rng(1).integers(-2, 4, 40) / 3
    exact = sign_flip_p(differences)
    monkeypatch.setattr(permutation, "MOST_OUTCOMES", 0)
    assert sign_flip_p(differences, flips=40_000) == pytest.approx(exact, abs=0.01)


def test_a_family_flips_as_one():
    differences = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert sign_flip_p(differences) == pytest.approx(2 * 0.5**6 / 2)
    assert sign_flip_p(differences, list("aabbcc")) == pytest.approx(2 * 0.5**3 / 2)


def test_no_difference_is_no_evidence():
    assert sign_flip_p(np.zeros(30)) == 1.0
    assert sign_flip_p([1.0, -1.0]) == pytest.approx(0.75), "above in half of all patterns, equal in the other half"


def test_never_zero():
    assert 0 < sign_flip_p(np.random.default_rng(0).uniform(1, 2, 60), flips=100) < 0.01


def test_macro_weighs_benchmarks_alike():
    """A small benchmark's difference counts as much as a large one's."""
    strata = {"small": ([1.0, 1.0, -1.0], None), "large": ([1.0] * 4 + [0.0] * 5, None)}
    weights = [1 / 6, 1 / 6, -1 / 6, *[1 / 18] * 4]
    assert macro_sign_flip_p(strata) == pytest.approx(by_all_signs(weights))


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_keeps_the_family_wise_rate():
    """Six true nulls: any rejection at 5 percent is a family-wise error."""
    random = np.random.default_rng(2)
    hits = sum(min(holm(dict(enumerate(random.uniform(size=6)))).values()) <= 0.05 for _ in range(4_000))
    assert hits / 4_000 == pytest.approx(0.05, abs=0.014)


@pytest.mark.parametrize(("questions", "samples"), [(30, 32), (272, 1), (675, 4)])
def test_one_false_alarm_in_twenty(questions, samples):
    """600 worlds: a standard error of 0.9 points, so 1.4 to 8.6 percent allow for four of them."""
    random = np.random.default_rng(8)
    alarms = 0
    for _ in range(600):
        chances = random.beta(0.6, 0.9, questions)
        left, right = (random.binomial(samples, chances) / samples for _ in range(2))
        alarms += sign_flip_p(left - right, flips=1_000) <= 0.05
    assert 0.014 <= alarms / 600 <= 0.086
