"""Error bars over questions like these: t, bootstrap, clustered, and of a mean over benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from steerctl.errors import UserError
from steerctl.evaluation.samples import Vector
from steerctl.evaluation.student import normal_cdf, normal_quantile, student_quantile
from steerctl.evaluation.units import Labels, Units

Population = Literal["questions like these", "these questions"]
Method = Literal["t", "bootstrap", "score", "none"]
Bounds = tuple[float, float]
Strata = Mapping[str, tuple[ArrayLike, Labels | None]]
"""Of each benchmark: one value per question, and what they are clustered by, or None."""

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 2025
FEW = 40
"""Below so many degrees of freedom the t interval is used: a bootstrap of few units is too narrow."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values.

    low, high   None where the data cannot tell: one unit, one sample of each question, or no two that differ
    error       standard error, None likewise
    population  what a repetition would draw anew: other questions of this kind (and samples of them), or samples only
    method      "t", "bootstrap" (BCa), "score" (all units equal at a bound: Wilson's interval), "none"
    units       how many independent units carry it: questions or clusters
    freedom     degrees of freedom of the error, 0 where there is none
    """

    value: float
    low: float | None
    high: float | None
    error: float | None
    population: Population
    method: Method
    units: int
    freedom: float


def mean_interval(
    values_P: ArrayLike,
    clusters_P: Labels | None = None,
    *,
    bounds: Bounds | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Mean of one number per question, with the interval over questions like these.

    Up to 40 units: value ± t_{U−1} · error, cut at `bounds`. Beyond: the bootstrap over units, corrected for bias and
    skewness (BCa). Where all units lie at one of the `bounds` (0 of 30 right) neither has a width, and Wilson's score
    interval stands in. Values are per question: avg@k, pass@k, maj@k, a paired difference; or per training seed.

    What it cannot do: where few of 30 questions are ever solved, the sample seldom holds enough of them. At a mean of
    0.1 its 95 percent are 91, at 0.05 they are 85 (`experiments/benchmarks/intervals.py`).

    Raises:
        UserError: a question has no value, or there are not as many labels as questions.

    Source: Miller 2024 (arXiv 2411.00640) for the unit and its clusters; Efron 1987, "Better bootstrap confidence
    intervals", section 2 (BCa with the influences as empirical values); Wilson 1927.
    """
    return _interval([Units.of(values_P, clusters_P)], bounds, level, resamples, seed)


def macro_interval(
    strata: Strata,
    *,
    bounds: Bounds | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Mean of the benchmarks' means, every benchmark counting alike; units are drawn anew within each benchmark.

    The t interval is used where the degrees of freedom (Welch and Satterthwaite) are below 40.

    Raises:
        UserError: there is no benchmark, or a question has no value.
    """
    return _interval(units_of(strata), bounds, level, resamples, seed)


def units_of(strata: Strata) -> list[Units]:
    """The units of each benchmark. Raises UserError where there is no benchmark, or a question has no value."""
    if not strata:
        raise UserError("a macro average needs at least one benchmark")
    return [Units.of(values, clusters) for values, clusters in strata.values()]


def _interval(strata: Sequence[Units], bounds: Bounds | None, level: float, resamples: int, seed: int) -> Interval:
    count = sum(each.count for each in strata)
    value = float(np.mean([each.mean for each in strata]))
    errors = [each.error for each in strata]
    known = [each for each in errors if each is not None]
    if len(known) < len(errors):
        return Interval(value, None, None, None, "questions like these", "none", count, 0.0)
    variances = (np.array(known) / len(strata)) ** 2
    error = float(np.sqrt(variances.sum()))
    if error <= 1e-12 * max(abs(value), 1.0):
        return _without_spread(value, strata, bounds, level)
    freedom = float(variances.sum() ** 2 / (variances**2 / [each.count - 1 for each in strata]).sum())
    method: Method = "t" if freedom < FEW else "bootstrap"
    if method == "t":
        half = student_quantile((1 + level) / 2, freedom) * error
        low, high = value - half, value + half
    else:
        random = np.random.default_rng(seed)
        draws_R = np.mean([each.draws(resamples, random) for each in strata], axis=0)
        influences = np.concatenate([each.influences for each in strata]) / len(strata)
        low, high = _bca(value, draws_R, influences, level)
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(value, low, high, error, "questions like these", method, count, freedom)


def _bca(value: float, draws_R: Vector, influences: Vector, level: float) -> tuple[float, float]:
    """Quantiles of the draws at Φ(z₀ + (z₀ ± z) / (1 − a (z₀ ± z))); z₀ the bias, a the skewness / 6."""
    resamples = len(draws_R)
    tied = np.abs(draws_R - value) <= 1e-12 * max(abs(value), 1.0)
    below = float((~tied & (draws_R < value)).mean() + tied.mean() / 2)
    shift = normal_quantile(min(max(below, 1 / (resamples + 1)), 1 - 1 / (resamples + 1)))
    acceleration = float((influences**3).sum() / (6 * (influences**2).sum() ** 1.5))
    ends = []
    for side in (-1, 1):
        moved = shift + side * normal_quantile((1 + level) / 2)
        ends.append(normal_cdf(shift + moved / (1 - acceleration * moved)))
    low, high = np.quantile(draws_R, ends)
    return float(low), float(high)


def _without_spread(value: float, strata: Sequence[Units], bounds: Bounds | None, level: float) -> Interval:
    """All units alike: Wilson's score interval where they lie at a bound, else nothing can be said."""
    count = sum(each.count for each in strata)
    if bounds is None or value not in bounds:
        return Interval(value, None, None, None, "questions like these", "none", count, 0.0)
    effective = len(strata) ** 2 / sum(1 / each.count for each in strata)
    z = normal_quantile((1 + level) / 2)
    width = (bounds[1] - bounds[0]) * z**2 / (effective + z**2)
    low, high = (value, value + width) if value == bounds[0] else (value - width, value)
    return Interval(value, low, high, 0.0, "questions like these", "score", count, 0.0)
