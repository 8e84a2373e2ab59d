"""Whether a paired difference could be chance: sign flips, and Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steerctl.evaluation.intervals import RESAMPLES, SEED, Strata, units_of
from steerctl.evaluation.samples import Vector
from steerctl.evaluation.units import Labels, Units

Counts = NDArray[np.int64]

MOST_OUTCOMES = 1 << 16
"""Up to so many distinct outcomes the test is exact."""


def sign_flip_p(
    differences_P: ArrayLike, clusters_P: Labels | None = None, *, flips: int = RESAMPLES, seed: int = SEED
) -> float:
    """Two-sided p of "who is A and who is B makes no difference", from one paired difference per question.

    The share of sign patterns, one sign per unit, whose |Σ ± difference| is above the observed one, and half the share
    of those that equal it (mid-p). A cluster of questions that share a source flips as one. Exact where there are at
    most 65,536 distinct outcomes, else (½ + hits) / (1 + flips) over random patterns, which is never 0.

    Why mid-p: with one sample of each question differences are −1, 0 or 1, ties are common, and counting them whole
    makes the test shy (false alarms of 4 percent and fewer where 5 are promised).

    Raises:
        UserError: a question has no value.

    Source: Fisher's randomisation test of paired differences; Lancaster 1961 for mid-p, Fagerland, Lydersen and Laake
    2013 for its merit with paired 0/1 data; Phipson and Smyth 2010 for counting the observed pattern itself.
    """
    return _p([Units.of(differences_P, clusters_P)], flips, seed)


def macro_sign_flip_p(strata: Strata, *, flips: int = RESAMPLES, seed: int = SEED) -> float:
    """`sign_flip_p` of the mean of the benchmarks' mean differences, every benchmark counting alike."""
    return _p(units_of(strata), flips, seed)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for being many, in the order given: reject those ≤ α and at most α of all families err.

    The i-th smallest of m becomes max over j ≤ i of min(1, (m − j + 1) p_(j)).

    Source: Holm 1979.
    """
    found: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        found[name] = highest
    return {name: found[name] for name in p_values}


def _p(strata: Sequence[Units], flips: int, seed: int) -> float:
    """Units of equal |difference| are drawn as one: how many of n keep their sign is binomial."""
    weights = np.concatenate([each.sums_U / (each.sizes_U.sum() * len(strata)) for each in strata])
    observed = abs(float(weights.sum()))
    sizes, copies = np.unique(np.abs(weights[weights != 0]), return_counts=True)
    if not sizes.size:
        return 1.0
    if prod(int(each) + 1 for each in copies) <= MOST_OUTCOMES:
        sums, chances = _outcomes(sizes, copies)
        return float(chances @ _extremity(sums, observed))
    kept = np.random.default_rng(seed).binomial(copies, 0.5, size=(flips, len(copies)))
    sums = (2 * kept - copies) @ sizes
    return float((0.5 + _extremity(sums, observed).sum()) / (1 + flips))


def _extremity(sums: Vector, observed: float) -> Vector:
    """1 where |sum| is above the observed one, ½ where equal but for rounding, else 0."""
    beyond = np.abs(sums) - observed
    found: Vector = np.where(np.abs(beyond) <= 1e-12 * np.abs(sums).max(), 0.5, beyond > 0)
    return found


def _outcomes(sizes: Vector, copies: Counts) -> tuple[Vector, Vector]:
    """Every possible sum and its chance."""
    sums, chances = np.zeros(1), np.ones(1)
    for size, number in zip(sizes, copies, strict=True):
        steps = size * (2 * np.arange(number + 1) - number)
        sums = np.add.outer(sums, steps).reshape(-1)
        chances = np.multiply.outer(chances, _binomial(int(number))).reshape(-1)
    return sums, chances


def _binomial(count: int) -> Vector:
    """Chances of 0..count heads of a fair coin."""
    ways = np.zeros(count + 1)
    ways[0] = 1.0
    for _ in range(count):
        ways[1:] = (ways[1:] + ways[:-1]) / 2
        ways[0] /= 2
    return ways
