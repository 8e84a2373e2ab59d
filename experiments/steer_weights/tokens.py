"""Probed tokens of a run under STEER: what was foretold of each, what it weighed, what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.figures.studies import Planned

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """[N] each.

    step, update  where it was, both from 1
    weight        λ
    foretold      |Ω|, nats per unit step, before λ: what λ was made of
    measured      |H after the update − H before it|, nats
    """

    step: Vector
    update: Vector
    weight: Vector
    foretold: Vector
    measured: Vector

    @classmethod
    def of(cls, planned: Planned) -> Tokens | None:
        """Of a finished run; own_logit has the factor λ in it, which is divided out."""
        record = planned.finished()
        if record is None:
            return None
        names = ("step", "update", "weight", "own_logit", "measured")
        tables = [record.read_probe(step) for step in record.probe_steps()]
        columns = [
            np.concatenate([table.column(name).to_numpy().astype(np.float64) for table in tables]) for name in names
        ]
        step, update, weight, own_logit, measured = columns
        return cls(step, update, weight, np.abs(own_logit / weight), np.abs(measured))

    def of_update(self, step: int, update: int) -> Tokens:
        """The tokens of one update."""
        kept = (self.step == step) & (self.update == update)
        return Tokens(*(values[kept] for values in (self.step, self.update, self.weight, self.foretold, self.measured)))


def mean_weight(x: Vector, weight: Vector, edges: Vector, least: int = 20) -> Vector:
    """Mean weight in each bin of x; NaN where a bin has fewer than `least` tokens. What lies outside is left out."""
    place = np.digitize(x, edges) - 1
    found = np.full(len(edges) - 1, np.nan)
    for index in range(len(found)):
        here = weight[place == index]
        if len(here) >= least:
            found[index] = here.mean()
    return found


def rank_correlation(x: Vector, y: Vector) -> float:
    """Spearman's, ties sharing their mean rank."""
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Vector) -> Vector:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)


def all_of(planned: Iterable[Planned]) -> dict[str, dict[int, Tokens]]:
    """By variant and seed, of those that are finished."""
    found: dict[str, dict[int, Tokens]] = {}
    for each in planned:
        tokens = Tokens.of(each)
        if tokens is not None:
            found.setdefault(each.variant.stem, {})[each.seed] = tokens
    return found
