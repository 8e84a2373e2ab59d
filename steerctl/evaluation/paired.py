"""Two models on the same questions: the difference, both its error bars, its p and what could have been seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from steerctl.errors import UserError
from steerctl.evaluation.intervals import LEVEL, RESAMPLES, SEED, Interval, macro_interval, mean_interval
from steerctl.evaluation.pass_at_k import avg_at_k
from steerctl.evaluation.permutation import macro_sign_flip_p, sign_flip_p
from steerctl.evaluation.power import detectable
from steerctl.evaluation.repeats import Variances, interval_of, sample_variances
from steerctl.evaluation.units import Labels


@dataclass(frozen=True, slots=True)
class Samples:
    """Both sides of one benchmark, question by question in the same order; the numbers of samples may differ.

    left_PG, right_PH  verdicts in [0, 1]
    clusters_P         labels of questions that share a source, or None
    """

    left_PG: ArrayLike
    right_PH: ArrayLike
    clusters_P: Labels | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Left minus right.

    difference    of the mean verdicts, over questions like these
    fixed         the same over fresh samples of these questions
    p_value       of the sign-flip test, not corrected for being one of many: `holm`
    detectable    the true difference this comparison finds with power 0.8; None where the error is unknown
    """

    difference: Interval
    fixed: Interval
    p_value: float
    detectable: float | None


def compare(samples: Samples, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Paired comparison of two models on one benchmark; the unit is the question's difference of mean verdicts.

    Raises:
        UserError: a sample is missing, or the two sides have different numbers of questions.

    Source: Miller 2024 (arXiv 2411.00640), paired differences.
    """
    differences = _differences(samples)
    found = mean_interval(
        differences, samples.clusters_P, bounds=(-1.0, 1.0), level=level, resamples=resamples, seed=seed
    )
    fixed = interval_of(found.value, _variances(samples), bounds=(-1.0, 1.0), level=level)
    p_value = sign_flip_p(differences, samples.clusters_P, flips=resamples, seed=seed)
    return Comparison(found, fixed, p_value, _seen(found, level))


def compare_macro(
    benchmarks: Mapping[str, Samples], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """The same for the mean over benchmarks, every benchmark counting alike; questions are redrawn within each."""
    strata = {name: (_differences(each), each.clusters_P) for name, each in benchmarks.items()}
    found = macro_interval(strata, bounds=(-1.0, 1.0), level=level, resamples=resamples, seed=seed)
    parts = [part for each in benchmarks.values() for part in _variances(each)]
    fixed = interval_of(found.value, parts, strata=len(benchmarks), bounds=(-1.0, 1.0), level=level)
    return Comparison(found, fixed, macro_sign_flip_p(strata, flips=resamples, seed=seed), _seen(found, level))


def _differences(samples: Samples) -> np.ndarray:
    left, right = avg_at_k(samples.left_PG), avg_at_k(samples.right_PH)
    if left.shape != right.shape:
        raise UserError(
            f"a comparison needs the same questions on both sides, found {len(left)} and {len(right)}; "
            "evaluate both on the same benchmark"
        )
    return left - right


def _variances(samples: Samples) -> list[Variances]:
    return [sample_variances(samples.left_PG), sample_variances(samples.right_PH)]


def _seen(found: Interval, level: float) -> float | None:
    return None if not found.error else detectable(found.error, found.freedom, level=level)
