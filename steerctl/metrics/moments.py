"""Joint moments that merge: means and co-moments of several numbers per token, for deviations and correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Count n, mean [K] and co-moment matrix Σ (x − mean)(x − mean)ᵀ [K, K] of K numbers per observation.

    Kept centred, so that merging loses no digits (Chan, Golub, LeVeque 1979, the pairwise update).
    """

    count: int
    mean: Vector
    comoment: Vector

    @classmethod
    def of(cls, rows_KN: Vector) -> Moments:
        """The moments of N observations of K numbers; float64."""
        kinds, count = rows_KN.shape
        if count == 0:
            return cls(0, np.zeros(kinds), np.zeros((kinds, kinds)))
        mean = rows_KN.mean(axis=1)
        centred = rows_KN - mean[:, None]
        return cls(count, mean, centred @ centred.T)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of observations together."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        between = np.outer(step, step) * (self.count * other.count / count)
        return Moments(count, mean, self.comoment + other.comoment + between)

    def covariance(self, left: Vector, right: Vector) -> float:
        """Covariance (divisor n) of the linear combinations left·x and right·x; 0 without observations."""
        return float(left @ self.comoment @ right) / max(self.count, 1)

    def deviation(self, direction: Vector) -> float:
        """Standard deviation (divisor n) of direction·x."""
        return float(np.sqrt(max(self.covariance(direction, direction), 0.0)))

    def correlation(self, left: Vector, right: Vector) -> float:
        """Pearson correlation of left·x and right·x; NaN where one of them does not vary."""
        scale = self.deviation(left) * self.deviation(right)
        return min(1.0, max(-1.0, self.covariance(left, right) / scale)) if scale > 0 else float("nan")
