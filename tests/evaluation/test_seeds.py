"""Methods over seeds against SciPy and statsmodels, and on planted data."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from steerctl.evaluation.intervals import mean_interval
from steerctl.evaluation.permutation import sign_flip_p
from steerctl.evaluation.seeds import bands, over_seeds

SEEDS = 5


def planted(random, methods, effect=0.0, seeds=SEEDS):
    """Seeds share what their problems do; `m0` is the baseline, and `m1` alone is better, by `effect`."""
    shared = random.normal(0, 0.05, seeds)
    values = {f"m{index}": shared + random.normal(0, 0.02, seeds) for index in range(methods)}
    values["m1"] = values["m1"] + effect
    return {name: dict(enumerate(own.tolist(), start=1)) for name, own in values.items()}


def baselines(values):
    return {name: None if name == "m0" else "m0" for name in values}


def test_p_intervals_and_holm_agree_with_scipy_and_statsmodels():
    values = planted(np.random.default_rng(3), 6, effect=0.2)
    found = over_seeds(values, baselines(values))
    others = [name for name in values if name != "m0"]
    expected = []
    for name in others:
        own, base = list(values[name].values()), list(values["m0"].values())
        test = stats.ttest_rel(own, base)
        expected.append(test.pvalue)
        interval = test.confidence_interval(0.95)
        each = found[name]
        assert each.p_value == pytest.approx(test.pvalue, abs=1e-9)
        assert (each.difference.low, each.difference.high) == pytest.approx((interval.low, interval.high))
        differences = np.subtract(own, base)
        assert each.p_flip == sign_flip_p(differences)
        size = differences.mean() / differences.std(ddof=1)
        assert each.effect == pytest.approx(size * (1 - 3 / (4 * (SEEDS - 1) - 1)))
    rejected, adjusted, _, _ = multipletests(expected, 0.05, "holm")
    assert [found[name].p_adjusted for name in others] == pytest.approx(adjusted.tolist())
    assert [found[name].detected for name in others] == rejected.tolist()
    assert found["m1"].detected


def test_pairs_are_the_seeds_that_both_have():
    values = {"a": {1: 0.0, 2: 1.0, 3: 5.0}, "b": {2: 1.5, 3: 5.7, 9: 100.0}}
    found = over_seeds(values, {"a": None, "b": "a"})
    assert found["b"].pairs == 2
    assert found["b"].difference.value == pytest.approx(0.6)
    assert found["b"].mean.units == 3
    assert found["b"].effect is None  # two pairs say nothing of their spread
    assert (found["a"].baseline, found["a"].difference, found["a"].detected) == (None, None, None)


def test_what_cannot_be_said_is_none():
    found = over_seeds({"a": {1: 0.5}, "b": {1: 0.6}, "c": {2: 0.1}, "d": {}}, {"b": "a", "c": "a", "d": "a"})
    assert "d" not in found
    assert (found["b"].pairs, found["b"].p_value, found["b"].detected) == (1, None, None)
    assert (found["c"].pairs, found["c"].difference) == (0, None)


def test_equal_runs_do_not_differ_and_a_constant_difference_has_no_error():
    same = {"a": {1: 0.5, 2: 0.6}, "b": {1: 0.5, 2: 0.6}, "c": {1: 1.5, 2: 1.6}}
    found = over_seeds(same, {"b": "a", "c": "a"})
    assert (found["b"].p_value, found["b"].p_adjusted, found["b"].detected) == (1.0, 1.0, False)
    assert (found["c"].p_value, found["c"].detected) == (None, None)


def test_no_false_winner_above_the_stated_rate():
    """No method differs: in at most 5 of 100 families of nine comparisons may one be called different."""
    random = np.random.default_rng(11)
    families = 400
    false = 0
    for _ in range(families):
        values = planted(random, 10)
        found = over_seeds(values, baselines(values))
        false += any(each.detected for each in found.values())
    assert false / families < 0.05 + 2 * (0.05 * 0.95 / families) ** 0.5


def test_a_true_difference_is_found_as_often_as_said():
    """At the difference named by `seen`, the uncorrected test finds it in about 80 of 100."""
    random = np.random.default_rng(5)
    seen = np.mean([over_seeds(v := planted(random, 2, seeds=12), baselines(v))["m1"].seen for _ in range(50)])
    hits = [
        over_seeds(v := planted(random, 2, effect=float(seen), seeds=12), baselines(v))["m1"].p_value < 0.05
        for _ in range(300)
    ]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.06)


def test_bands_are_the_intervals_of_every_step():
    random = np.random.default_rng(2)
    values_ST = random.normal(size=(5, 7))
    values_ST[0, 2] = values_ST[1, 2] = np.nan
    values_ST[1:, 4] = np.nan
    found = bands(values_ST)
    for column, values in enumerate(values_ST.T):
        expected = mean_interval(values[np.isfinite(values)])
        assert found.mean_T[column] == pytest.approx(expected.value)
        if expected.low is None:
            assert np.isnan(found.low_T[column])
        else:
            assert (found.low_T[column], found.high_T[column]) == pytest.approx((expected.low, expected.high))
    assert found.count_T.tolist() == [5, 5, 3, 5, 1, 5, 5]


def test_bands_cover_the_mean_in_95_of_100():
    random = np.random.default_rng(9)
    found = bands(random.normal(1.0, 2.0, size=(SEEDS, 4000)))
    covered = ((found.low_T <= 1.0) & (found.high_T >= 1.0)).mean()
    assert covered == pytest.approx(0.95, abs=0.011)
