"""Accuracy over questions, each answered several times: pass@k without bias, and how sure a mean is.

The question is the sample: the answers to one question are a cluster, never independent draws (Miller,
arXiv 2411.00640).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 2025


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions with its 95 % interval, for questions like these."""

    mean: float
    low: float
    high: float


def pass_at(k: int, right: int, samples: int) -> float:
    """The chance that at least one of k answers, drawn without replacement from `samples`, is right.

    1 − C(n − c, k) / C(n, k), as the product Π_{i=n−c+1..n} (1 − k/i) over c = right, n = samples: unbiased for the
    chance that one of k fresh answers is right.

    Raises:
        ValueError: k exceeds the samples.

    Source: Chen et al., arXiv 2107.03374, equation 1.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, there are {samples}")
    if samples - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - right + 1, samples + 1)))


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of one value per question in [0, 1], with a percentile bootstrap over the questions (10,000, seeded).

    If all values are 0, or all are 1, resampling knows no doubt: the bound of a chance that never (or always) came
    true in N trials stands in, 1 − 0.05^(1/N).

    Raises:
        ValueError: there are no values.
    """
    found = np.asarray(values, dtype=np.float64)
    if not found.size:
        raise ValueError("an accuracy over no questions")
    mean = float(found.mean())
    if mean in {0.0, 1.0}:
        doubt = 1.0 - 0.05 ** (1.0 / found.size)
        return Interval(mean, 0.0, doubt) if mean == 0.0 else Interval(mean, 1.0 - doubt, 1.0)
    low, high = np.percentile(_resampled_means(found), (2.5, 97.5))
    return Interval(mean, float(low), float(high))


def _resampled_means(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of questions drawn with replacement; equal values are drawn together, which makes large N cheap."""
    distinct, counts = np.unique(values_N, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(values_N.size, counts / values_N.size, size=RESAMPLES)
    means: NDArray[np.float64] = drawn @ distinct / values_N.size
    return means
