"""Agreement of every estimator with the measured change, in slices: by optimiser, step, quadrant, probability and more.

A table is a mapping from the names of `COLUMNS` to arrays, one entry per token; nulls of optional columns are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steerctl.analysis.agreement import Agreement, agreement
from steerctl.analysis.bootstrap import SEED, Vector
from steerctl.analysis.columns import COLUMNS

Table = Mapping[str, NDArray[Any]]
Group = tuple[str, NDArray[np.bool_]]
"""A label and which tokens it is given to."""

PREDICTIONS: Final[tuple[str, ...]] = (
    "exact", "own_logit", "squared", "released", "covariance", "population", "population_natural", "influence",
    "own_state", "own_state+own_second_order", "first_order", "first_order+second_order",
)  # fmt: skip
"""What is compared with `measured`: a column, or the sum of several. Those in nats need no step size."""
PROBABILITIES: Final = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
"""Edges of the bins by π of the sampled token; the upper one belongs to the bin."""
MOST_GROUPS = 10
"""More steps or rates than this are put together in ranges of about equally many."""
NORM_GROUPS = 4
SLICE_RESAMPLES = 1_000
SLICE_ORDERED = 200
"""Of them for ranks and overlaps: 336 slices of 5,120 tokens take 9 s."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Agreement of one prediction on some of the tokens: those where the quantity `by` is in `group`."""

    prediction: str
    by: str
    group: str
    agreement: Agreement

    def flat(self) -> dict[str, str | float | int | None]:
        """One line of a table."""
        return {"prediction": self.prediction, "by": self.by, "group": self.group, **self.agreement.flat()}


def slices(
    table: Table,
    *,
    predictions: Sequence[str] = PREDICTIONS,
    by: Sequence[str] | None = None,
    step_size: float | None = None,
    resamples: int = SLICE_RESAMPLES,
    seed: int = SEED,
) -> Iterator[Slice]:
    """Every prediction the table has values of, on every slice; tokens without a value are left out.

    by         some of `GROUPINGS`, all of them if None
    step_size  of predictions in nats per unit step or rate; None: each token's learning_rate, which is right for no
               optimiser but SGD and for others only a scale; slope says by how much it is off

    Raises:
        ValueError: `by` names no grouping, a prediction no column, or a needed column is missing.
    """
    groupings = {name: _grouping(name) for name in (GROUPINGS if by is None else by)}
    for prediction in predictions:
        if prediction in PREDICTIONS and any(part not in table for part in prediction.split("+")):
            continue
        predicted_N = _values(table, prediction) * step_sizes(table, prediction, step_size)
        known_N = np.isfinite(predicted_N) & np.isfinite(_column(table, "measured"))
        for name, (group, chosen_N) in _groups(table, groupings):
            inside_N = chosen_N & known_N
            if not inside_N.any():
                continue
            measured_N, problems_N = table["measured"][inside_N], _column(table, "problem_id")[inside_N]
            settings = {"resamples": resamples, "ordered": SLICE_ORDERED, "seed": seed}
            yield Slice(prediction, name, group, agreement(predicted_N[inside_N], measured_N, problems_N, **settings))


def _groups(table: Table, groupings: Mapping[str, Callable[[Table], Iterator[Group]]]) -> Iterator[tuple[str, Group]]:
    for name, grouping in groupings.items():
        for group in grouping(table):
            yield name, group


def step_sizes(table: Table, prediction: str, step_size: float | None = None) -> Vector:
    """What each token's prediction is multiplied with to be in nats: 1 where its unit is nats already."""
    rate_N = np.asarray(_column(table, "learning_rate"), np.float64)
    if COLUMNS[prediction.split("+", 1)[0]].unit == "nats":
        return np.ones_like(rate_N)
    return rate_N if step_size is None else np.full_like(rate_N, step_size)


def _values(table: Table, prediction: str) -> Vector:
    total: Vector = np.sum([np.asarray(_column(table, part), np.float64) for part in prediction.split("+")], axis=0)
    return total


def _column(table: Table, name: str) -> NDArray[Any]:
    if name not in COLUMNS:
        raise ValueError(f"{name!r} is no column of a token table; columns: {', '.join(COLUMNS)}")
    if name not in table:
        raise ValueError(f"this token table has no column {name!r}")
    return table[name]


def _everything(table: Table) -> Iterator[Group]:
    yield "all", np.ones(len(_column(table, "measured")), dtype=bool)


def _optimisers(table: Table) -> Iterator[Group]:
    optimiser_N = _column(table, "optimiser").astype(str)
    for name in np.unique(optimiser_N).tolist():
        yield name, optimiser_N == name


def _quadrants(table: Table) -> Iterator[Group]:
    quadrant_N = _column(table, "quadrant")
    for quadrant in range(5):
        yield str(quadrant), quadrant_N == quadrant


def _probabilities(table: Table) -> Iterator[Group]:
    probability_N = np.exp(np.asarray(_column(table, "logprob"), np.float64))
    for low, high in pairwise(PROBABILITIES):
        above_N = probability_N > low if low > 0 else probability_N >= 0
        below_N = probability_N <= high if high < 1 else np.ones_like(above_N)  # rounding may exceed 1
        yield f"{low:g} to {high:g}", above_N & below_N


def _ranges(name: str, most: int) -> Callable[[Table], Iterator[Group]]:
    """One group per value, or if there are more than `most`, ranges of about equally many values."""

    def groups(table: Table) -> Iterator[Group]:
        column_N = np.asarray(_column(table, name), np.float64)
        distinct = np.unique(column_N[np.isfinite(column_N)])
        for part in np.array_split(distinct, min(most, len(distinct))) if len(distinct) else ():
            low, high = float(part[0]), float(part[-1])
            label = f"{low:.6g}" if low == high else f"{low:.4g} to {high:.4g}"
            yield label, (column_N >= low) & (column_N <= high)

    return groups


GROUPINGS: Final[Mapping[str, Callable[[Table], Iterator[Group]]]] = {
    "all": _everything,
    "optimiser": _optimisers,
    "quadrant": _quadrants,
    "probability": _probabilities,
    "step": _ranges("step", MOST_GROUPS),
    "learning_rate": _ranges("learning_rate", MOST_GROUPS),
    "grad_norm": _ranges("grad_norm", NORM_GROUPS),
}
"""Name to what divides a table; every token is in exactly one group of each."""


def _grouping(name: str) -> Callable[[Table], Iterator[Group]]:
    if name not in GROUPINGS:
        raise ValueError(f"{name!r} is no grouping; choose among {', '.join(GROUPINGS)}")
    return GROUPINGS[name]
