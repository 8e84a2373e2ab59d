"""Resampling of problems: the responses to one problem are a cluster, never independent draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

RESAMPLES = 2_000
SEED = 2025
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval over problems like these; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which problem each of N tokens belongs to, as 0 to P − 1."""

    index_N: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, problems_N: ArrayLike) -> Clusters:
        """From labels of any kind that can be sorted."""
        labels: NDArray[Any] = np.asarray(problems_N)
        distinct, index_N = np.unique(labels, return_inverse=True)
        return cls(index_N.reshape(-1), len(distinct))

    def draws(self, resamples: int, seed: int) -> Vector:
        """How often each problem was drawn, [1 + R, P]; row 0 is the sample itself, every problem once.

        With one problem nothing can be resampled: row 0 alone.
        """
        whole = np.ones((1, self.count))
        if self.count < 2:
            return whole
        chances = np.full(self.count, 1.0 / self.count)
        drawn = np.random.default_rng(seed).multinomial(self.count, chances, size=resamples)
        return np.concatenate([whole, drawn])

    def sums(self, columns_KN: NDArray[Any]) -> Vector:
        """Sums of K numbers per token over each problem, [P, K]."""
        return np.stack([np.bincount(self.index_N, column, minlength=self.count) for column in columns_KN], axis=1)


def estimate(values_R: Vector, level: float = LEVEL) -> Estimate:
    """Row 0 with the percentile interval of the others; undefined values are NaN and do not count among them."""
    value, resampled = values_R[0], values_R[1:]
    resampled = resampled[np.isfinite(resampled)]
    if not np.isfinite(value):
        return Estimate(None, None, None)
    if not resampled.size:
        return Estimate(float(value), None, None)
    low, high = np.quantile(resampled, ((1 - level) / 2, (1 + level) / 2))
    return Estimate(float(value), float(low), float(high))


def quotient(top: Vector, bottom: Vector) -> Vector:
    """Elementwise, NaN where the bottom is 0."""
    found: Vector = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=found, where=bottom != 0)
    return found


def numbers(values_N: ArrayLike, name: str, count: int | None = None) -> Vector:
    """Float64, one per token.

    Raises:
        ValueError: there are none, not as many as expected, or one is NaN or infinite.
    """
    found = np.asarray(values_N, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"{name}: expected one number per token, got the shape {found.shape}")
    if count is not None and found.size != count:
        raise ValueError(f"{name}: {found.size} numbers for {count} tokens")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: {int((~np.isfinite(found)).sum())} of {found.size} are not finite; leave them out")
    return found
