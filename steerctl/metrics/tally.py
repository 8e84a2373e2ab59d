"""What is counted while a step runs: sums, counts, extremes and moments that merge over micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, TypeVar

from steerctl.metrics.moments import Moments

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Mean:
    """A weighted mean in the making: `total` over `weight`."""

    total: float
    weight: float

    def merge(self, other: Mean) -> Mean:
        """Both together."""
        return Mean(self.total + other.total, self.weight + other.weight)


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers in the making, each under its metric key.

    means      finished as total / weight; left out where the weight is 0
    counts     finished as they are
    maxima     finished as they are
    minima     finished as they are
    moments    joint moments by name; what is read off them is up to `readings`
    readings   name of the moments -> the metrics read off them

    One batch, its micro-batches merged, and its ranks merged finish alike up to the rounding of float64 sums.
    """

    means: Mapping[str, Mean] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    maxima: Mapping[str, float] = field(default_factory=dict)
    minima: Mapping[str, float] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    readings: Mapping[str, Callable[[Moments], Mapping[str, float]]] = field(default_factory=dict)

    def merge(self, other: Tally) -> Tally:
        """Both together. A reading must be a module-level function, so that a tally can travel between ranks."""
        return Tally(
            means=_join(self.means, other.means, Mean.merge),
            counts=_join(self.counts, other.counts, add),
            maxima=_join(self.maxima, other.maxima, max),
            minima=_join(self.minima, other.minima, min),
            moments=_join(self.moments, other.moments, Moments.merge),
            readings={**self.readings, **other.readings},
        )

    @classmethod
    def merged(cls, tallies: Iterable[Tally]) -> Tally:
        """All together, in order."""
        return reduce(cls.merge, tallies, cls())

    def over_ranks(self, all_gather: Callable[[Any], list[Any]]) -> Tally:
        """The tallies of all ranks together, equal on every rank; a collective."""
        return Tally.merged(all_gather(self))

    def finish(self) -> dict[str, float]:
        """The metrics, by key."""
        metrics = {key: mean.total / mean.weight for key, mean in self.means.items() if mean.weight}
        metrics |= {**self.counts, **self.maxima, **self.minima}
        for name, moments in self.moments.items():
            if moments.count:
                metrics |= self.readings[name](moments)
        return metrics


def _join(
    left: Mapping[str, Value], right: Mapping[str, Value], merge: Callable[[Value, Value], Value]
) -> Mapping[str, Value]:
    joined = dict(left)
    for key, value in right.items():
        joined[key] = merge(joined[key], value) if key in joined else value
    return joined
