"""Error bars against SciPy, by hand, and by simulation (the full table: experiments/benchmarks/intervals.py)."""

import numpy as np
import pytest
from scipy import stats

from steerctl.errors import UserError
from steerctl.evaluation.intervals import macro_interval, mean_interval

RANDOM = np.random.default_rng(3)
FEW = RANDOM.beta(0.5, 1, 30)
MANY = RANDOM.binomial(4, RANDOM.beta(0.3, 1.2, 272)) / 4


def test_few_questions_get_the_t_interval():
    found = mean_interval(FEW)
    low, high = stats.t.interval(0.95, 29, FEW.mean(), stats.sem(FEW))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.method, found.population, found.units, found.freedom) == ("t", "questions like these", 30, 29)


def test_many_questions_get_the_bootstrap():
    found = mean_interval(MANY, resamples=20_000)
    reference = stats.bootstrap((MANY,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1))
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=0.03 * width)
    assert (found.method, found.error) == ("bootstrap", pytest.approx(stats.sem(MANY)))
    assert found.high - found.value > found.value - found.low, "skewed to the right"


def test_the_same_seed_gives_the_same_interval():
    smooth = RANDOM.uniform(size=100)
    assert mean_interval(smooth) == mean_interval(smooth)
    assert mean_interval(smooth) != mean_interval(smooth, seed=1)


def test_families_widen():
    """Equal answers within families of three: 3 times fewer units, √3 times the error."""
    families = np.repeat(np.arange(91), 3)[:272]
    alone, shared = mean_interval(MANY), mean_interval(MANY[families], families.tolist())
    assert shared.units == 91
    assert shared.error / alone.error == pytest.approx(np.sqrt(3), rel=0.15)


@pytest.mark.parametrize("count", [30, 272])
def test_all_wrong_or_all_right_is_not_certain(count):
    """Wilson's interval, as SciPy computes it."""
    for value in (0.0, 1.0):
        found = mean_interval(np.full(count, value), bounds=(0.0, 1.0))
        reference = stats.binomtest(int(value * count), count).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
        assert found.method == "score"


def test_no_interval_where_nothing_can_be_said():
    for found in (mean_interval([0.4]), mean_interval([0.2] * 9), mean_interval([0.0, 1.0], ["a", "a"])):
        assert (found.low, found.high, found.error, found.method) == (None, None, None, "none")


def test_bounds_are_kept():
    found = mean_interval([1.0] * 29 + [0.0], bounds=(0.0, 1.0))
    assert found.high == 1.0


def test_macro_is_the_mean_of_means():
    strata = {"few": (FEW, None), "many": (MANY, None)}
    found = macro_interval(strata)
    assert found.value == pytest.approx((FEW.mean() + MANY.mean()) / 2)
    assert found.error == pytest.approx(np.hypot(stats.sem(FEW), stats.sem(MANY)) / 2)
    welch = stats.ttest_ind(FEW, -MANY, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((welch.low / 2, welch.high / 2)), "Welch's, at 36 degrees"
    assert found.method == "t"


def test_macro_bootstrap_is_stratified():
    strata = {str(size): (RANDOM.binomial(1, 0.4, size), None) for size in (100, 272, 675)}
    found = macro_interval(strata)
    assert found.method == "bootstrap"
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.04)


def test_macro_of_nothing():
    with pytest.raises(UserError, match="at least one benchmark"):
        macro_interval({})


@pytest.mark.parametrize(("questions", "samples", "accuracy"), [(30, 32, 0.3), (272, 1, 0.4), (675, 4, 0.42)])
def test_95_percent_cover_95_percent(questions, samples, accuracy):
    """600 worlds: the share has a standard error of 0.9 points, so 91.5 to 98.5 allows for four of them."""
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(600):
        chances = random.beta(1.5 * accuracy, 1.5 * (1 - accuracy), questions)
        found = mean_interval(random.binomial(samples, chances) / samples, bounds=(0.0, 1.0), resamples=2_000)
        covered += found.low <= accuracy <= found.high
    assert 0.915 <= covered / 600 <= 0.985
