"""Agreement: golden vectors in exact fractions, SciPy as oracle, resamples against samples written out, hard cases."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steerctl.analysis import agreement as module
from steerctl.analysis.agreement import MEASURES, agreement, ordered_resamples
from steerctl.analysis.bootstrap import Clusters, estimate

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/agreement.json").read_text())


def sample(tokens=400, problems=12, seed=0, *, coarse=False):
    """Heavy-tailed changes, a noisy and badly scaled prediction, problems of unequal size."""
    rng = np.random.default_rng(seed)
    measured = 1e-3 * rng.standard_t(3, tokens)
    predicted = 40 * measured + 0.05 * rng.standard_t(3, tokens)
    if coarse:
        measured, predicted = np.round(measured, 3), np.round(predicted, 1)
    return predicted, measured, rng.integers(0, problems, tokens)


def values(found):
    return {name: each.value for name, each in found.measures.items()}


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_golden_numbers(name):
    golden = GOLDEN[name]
    found = values(agreement(golden["predicted"], golden["measured"], range(len(golden["measured"]))))
    assert tuple(found) == MEASURES
    for measure in MEASURES:
        assert (found[measure] is None) == (golden[measure] is None), measure
        if golden[measure] is not None:
            assert found[measure] == pytest.approx(golden[measure], rel=1e-12, abs=1e-14), measure


@pytest.mark.parametrize("coarse", [False, True])
def test_equals_scipy(coarse):
    predicted, measured, problems = sample(coarse=coarse)
    found = values(agreement(predicted, measured, problems, resamples=1))
    assert found["pearson"] == pytest.approx(stats.pearsonr(predicted, measured)[0], abs=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predicted, measured)[0], abs=1e-12)
    slope = np.linalg.lstsq(predicted[:, None], measured, rcond=None)[0][0]
    assert found["slope"] == pytest.approx(slope, rel=1e-10)
    assert found["mse_fitted"] == pytest.approx(np.mean((measured - slope * predicted) ** 2), rel=1e-10)


@pytest.mark.parametrize("coarse", [False, True])
def test_a_resample_equals_the_sample_written_out(coarse):
    """Weights stand for copies: the same numbers as with every drawn problem's tokens repeated."""
    predicted, measured, problems = sample(300, 9, coarse=coarse)
    clusters = Clusters.of(problems)
    draws = clusters.draws(6, seed=3)
    found = module._from_sums(predicted, measured, clusters, draws)
    found |= module._from_order(predicted, measured, clusters, draws)
    assert not np.array_equal(draws[1], draws[2])
    for row, counts in enumerate(draws.astype(int)):
        copies = np.repeat(np.arange(300), counts[clusters.index_N])
        written = values(agreement(predicted[copies], measured[copies], np.arange(len(copies)), resamples=0))
        for name in MEASURES:
            assert found[name][row] == pytest.approx(written[name], rel=1e-9, abs=1e-12), name


def test_intervals_are_the_percentiles_of_the_resamples():
    predicted, measured, problems = sample()
    clusters = Clusters.of(problems)
    pearson = module._from_sums(predicted, measured, clusters, clusters.draws(500, seed=7))["pearson"]
    found = agreement(predicted, measured, problems, resamples=500, seed=7, level=0.9).measures["pearson"]
    expected = (pearson[0], *np.quantile(pearson[1:], (0.05, 0.95)))
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Clusters share a shift: drawing tokens instead of problems would cover it in half of the cases."""
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(120):
        problems = np.repeat(np.arange(40), 10)
        predicted = rng.standard_normal(400)
        right = rng.random(40)[problems] > rng.random(400)  # the share of right signs differs between problems
        measured = np.where(right, predicted, -predicted)
        clusters = Clusters.of(problems)
        sign = module._from_sums(predicted, measured, clusters, clusters.draws(300, seed=trial))["sign"]
        found = estimate(sign)
        covered += found.low <= 0.5 <= found.high
    assert 105 <= covered <= 120


def test_step_size_changes_the_scale_and_nothing_else():
    predicted, measured, problems = sample()

    def scaled_by(step_size):
        return values(agreement(predicted, measured, problems, step_size=step_size, resamples=0))

    once, scaled = scaled_by(1.0), scaled_by(0.007)
    assert scaled["slope"] == pytest.approx(once["slope"] / 0.007)
    assert scaled["r2"] > 0 > once["r2"]
    for name in set(MEASURES) - {"slope", "r2", "mse"}:
        assert scaled[name] == pytest.approx(once[name], rel=1e-9), name
    assert scaled_by(np.full(400, 0.007)) == scaled
    fitted = scaled_by(once["slope"])
    assert fitted["mse"] == pytest.approx(once["mse_fitted"])
    assert fitted["slope"] == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_the_order_of_the_tokens_does_not_matter(seed, tokens):
    rng = np.random.default_rng(seed)
    predicted, measured = rng.integers(-2, 3, (2, tokens)).astype(float)  # many ties
    problems = rng.integers(0, 4, tokens)
    order = rng.permutation(tokens)
    first = agreement(predicted, measured, problems, resamples=20)
    second = agreement(predicted[order], measured[order], problems[order], resamples=20)
    for name in MEASURES:
        for bound in ("value", "low", "high"):
            here, there = getattr(first.measures[name], bound), getattr(second.measures[name], bound)
            assert (here is None) == (there is None)
            assert here is None or here == pytest.approx(there, abs=1e-12)


def test_a_prediction_that_is_right_agrees_fully():
    _, measured, problems = sample(coarse=True)
    found = values(agreement(measured, measured, problems))
    for name in set(MEASURES) - {"mse", "mse_fitted"}:
        assert found[name] == pytest.approx(1.0), name
    assert found["mse"] == 0


def test_one_token_and_one_problem_have_no_interval():
    found = agreement([0.5], [1.0], ["a"])
    assert (found.tokens, found.problems) == (1, 1)
    assert found.measures["sign"].value == found.measures["top_5_fall"].value == 1
    assert found.measures["pearson"].value is None
    assert all(each.low is None and each.high is None for each in found.measures.values())
    predicted, measured, _ = sample(50)
    alone = agreement(predicted, measured, ["only"] * 50).measures
    assert all(each.value is not None and each.low is None for each in alone.values())


def test_constant_values_have_no_correlation_whatever_the_rounding():
    measured = np.random.default_rng(0).standard_normal(30)
    for constant in (0.1, 1e-17, 1e5 / 3):
        found = agreement(np.full(30, constant), measured, np.arange(30) // 3).measures
        assert found["pearson"].value is None
        assert found["spearman"].value is None
        assert found["slope"].value is not None
    half = np.where(np.arange(30) < 15, 0.1, measured)  # constant in some resamples only
    assert agreement(half, measured, np.arange(30) // 15).measures["pearson"].low is not None


def test_nothing_comes_out_that_is_not_a_number():
    line = agreement(np.zeros(6), np.zeros(6), [0, 0, 1, 1, 2, 2]).flat()
    assert line["sign"] == 1
    assert line["top_1_size"] == pytest.approx(1)
    assert {value for value in line.values() if value is not None and not np.isfinite(value)} == set()
    assert list(line)[:5] == ["tokens", "problems", "mse", "mse_low", "mse_high"]
    json.dumps(line, allow_nan=False)


@pytest.mark.parametrize(
    ("predicted", "measured", "problems", "message"),
    [
        ([], [], [], "shape"),
        ([1.0, np.nan], [1.0, 2.0], [0, 1], "prediction: 1 of 2 are not finite"),
        ([1.0, 2.0], [1.0, np.inf], [0, 1], "measured change"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], [0, 1], "3 numbers for 2 tokens"),
        ([1.0, 2.0], [1.0, 2.0], [0], "1 problems for 2 tokens"),
    ],
)
def test_input_that_is_none(predicted, measured, problems, message):
    with pytest.raises(ValueError, match=message):
        agreement(predicted, measured, problems)


def test_two_thousand_resamples_of_two_thousand_tokens_take_about_a_second():
    predicted, measured, problems = sample(2_000, 64)
    assert ordered_resamples(2_000, 2_000) == 2_000
    assert ordered_resamples(2_000, 10**6) == 200
    start = time.process_time()
    agreement(predicted, measured, problems)
    assert time.process_time() - start < 2  # 0.2 s on one free core
