"""What is drawn independently: questions, or clusters of questions that share a source."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from steerctl.errors import UserError
from steerctl.evaluation.samples import Vector, vector

Labels = Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Units:
    """Sums and sizes of U independent units; the mean over questions is Σ sums / Σ sizes."""

    sums_U: Vector
    sizes_U: Vector

    @classmethod
    def of(cls, values_P: ArrayLike, clusters_P: Labels | None = None) -> Units:
        """One unit per question, or per label where questions share a source.

        Raises:
            UserError: a value is missing, or there are not as many labels as questions.
        """
        values = vector(values_P)
        if clusters_P is None:
            return cls(values, np.ones_like(values))
        if len(clusters_P) != len(values):
            raise UserError(f"{len(clusters_P)} cluster labels for {len(values)} questions")
        first = {label: number for number, label in enumerate(dict.fromkeys(clusters_P))}
        index = np.array([first[label] for label in clusters_P])
        return cls(np.bincount(index, values).astype(np.float64), np.bincount(index).astype(np.float64))

    @property
    def count(self) -> int:
        """U."""
        return len(self.sums_U)

    @property
    def mean(self) -> float:
        """Over questions, not over units."""
        return float(self.sums_U.sum() / self.sizes_U.sum())

    @property
    def influences(self) -> Vector:
        """What each unit adds to the mean's error, (sum − mean · size) / Σ sizes, [U]."""
        found: Vector = (self.sums_U - self.mean * self.sizes_U) / self.sizes_U.sum()
        return found

    @property
    def error(self) -> float | None:
        """Standard error of the mean, √(U/(U−1) · Σ influence²); None for one unit.

        With one question per unit it is sd/√N; else the clustered error of Miller 2024 (arXiv 2411.00640, §2.2), times
        the usual U/(U−1).
        """
        if self.count < 2:
            return None
        return float(np.sqrt(self.count / (self.count - 1) * (self.influences**2).sum()))

    def draws(self, resamples: int, random: np.random.Generator) -> Vector:
        """Means of `resamples` samples of U units each, with replacement, [R].

        Equal units are drawn as one with their number as its weight: the same distribution, and for verdicts of k
        samples at most k + 1 columns instead of U.
        """
        pairs = np.stack([self.sums_U, self.sizes_U], axis=1)
        distinct, copies = np.unique(pairs, axis=0, return_counts=True)
        times = random.multinomial(self.count, copies / self.count, size=resamples)
        sums, sizes = (times @ distinct).T
        means: Vector = sums / sizes
        return means
