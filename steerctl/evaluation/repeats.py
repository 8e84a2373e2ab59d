"""Error bars over fresh samples of these very questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from steerctl.evaluation.intervals import LEVEL, Bounds, Interval
from steerctl.evaluation.samples import Vector, matrix
from steerctl.evaluation.student import student_quantile


@dataclass(frozen=True, slots=True)
class Variances:
    """What fresh samples of each of P questions add to the variance of a mean, each known by `freedom` degrees."""

    values_P: Vector
    freedom: int


def sample_variances(correct_PG: ArrayLike) -> Variances:
    """s_i² / (k P²) of every question: s_i² the unbiased variance of its k = G samples. Raises UserError."""
    correct = matrix(correct_PG)
    questions, k = correct.shape
    spread = correct.var(axis=1, ddof=1) if k > 1 else np.zeros(questions)
    return Variances(spread / (k * questions**2), k - 1)


def sample_interval(correct_PG: ArrayLike, *, bounds: Bounds | None = (0.0, 1.0), level: float = LEVEL) -> Interval:
    """Mean verdict with the interval over fresh samples of these questions.

    value ± t · √Σ_i s_i²/(k P²), Satterthwaite's degrees of freedom. One sample of each question says nothing of
    this, nor do samples that never differ: no interval. Clusters do not matter here; samples are drawn independently.

    Raises:
        UserError: a sample is missing.

    Source: Miller 2024 (arXiv 2411.00640), the conditional variance of a score; the degrees of freedom are ours.
    """
    value = float(matrix(correct_PG).mean())
    return interval_of(value, [sample_variances(correct_PG)], bounds=bounds, level=level)


def macro_sample_interval(
    correct_B_PG: Sequence[ArrayLike], *, bounds: Bounds | None = (0.0, 1.0), level: float = LEVEL
) -> Interval:
    """`sample_interval` of the mean over B benchmarks, every benchmark counting alike."""
    value = float(np.mean([matrix(correct).mean() for correct in correct_B_PG]))
    parts = [sample_variances(correct) for correct in correct_B_PG]
    return interval_of(value, parts, strata=len(parts), bounds=bounds, level=level)


def interval_of(
    value: float,
    parts: Sequence[Variances],
    *,
    strata: int = 1,
    bounds: Bounds | None = None,
    level: float = LEVEL,
) -> Interval:
    """The interval of a sum of independent parts, divided by `strata`; what they have in common is one mean."""
    units = sum(len(part.values_P) for part in parts)
    total = sum(float(part.values_P.sum()) for part in parts)
    if total == 0 or any(part.freedom == 0 for part in parts):
        return Interval(value, None, None, None, "these questions", "none", units, 0.0)
    freedom = total**2 / sum(float((part.values_P**2).sum()) / part.freedom for part in parts)
    error = sqrt(total) / strata
    half = student_quantile((1 + level) / 2, freedom) * error
    low, high = value - half, value + half
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(value, low, high, error, "these questions", "t", units, freedom)
