"""What the transformer study found, by what was asked; its two files of data."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from steerctl.analysis.agreement import Agreement
from steerctl.analysis.shares import Part
from steerctl.report.agreement import Point

FIRST, LATER = "update 1.1", "later updates"
PARTS = ("own_state", "others", "carried", "remainder")
"""Of the measured change; `others` and `carried` are the interference."""
TOTALS = ("first_order", "first_order+second_order")
FORMS = ("exact", "own_logit", "squared", "released", "covariance", "population", "population_natural")
"""In nats per unit step: their scale is left to `slope`."""
FALL = "fall"
"""The prediction that every token falls, to compare signs with."""
OWN = ("own_state", "own_state+own_second_order", *FORMS)
MEASURES = ("pearson", "spearman", "sign", "mse", "r2", "slope", "r2_fitted", "top_5_size")


@dataclass(frozen=True, slots=True)
class Cell:
    """Some of the tokens.

    learning_rate  of the updates; trained_at that of the runs they are in
    updates        FIRST, LATER, a step or an update
    tokens         "all", "pushed" (w ≠ 0) or how hard
    """

    optimiser: str
    learning_rate: float
    trained_at: float
    updates: str
    tokens: str = "all"


@dataclass(frozen=True, slots=True)
class Line:
    """Agreement of a prediction with what happened: `measured`, or the true own-state term."""

    study: str
    cell: Cell
    prediction: str
    truth: str
    found: Agreement


@dataclass(frozen=True, slots=True)
class Share:
    """One part of the measured change; `size` its mean absolute value, nats."""

    cell: Cell
    name: str
    size: float
    part: Part


@dataclass(frozen=True, slots=True)
class Tail:
    """How few tokens make the remainder of all tokens of a cell.

    half, most       tokens that make 50 and 90 % of Σ remainder²
    pearson          of first order with the measured change
    pearson_without  the same without the 1 % of the tokens with the largest remainders
    """

    cell: Cell
    count: int
    half: int
    most: int
    pearson: float
    pearson_without: float


@dataclass(frozen=True)
class Results:
    """Everything that tables, figures and files show.

    sizes  mean |measured change| of the tokens of each cell of the shares, nats
    rates  optimiser -> learning rates, ascending
    """

    lines: Sequence[Line]
    shares: Sequence[Share]
    tails: Sequence[Tail]
    sizes: Mapping[Cell, float]
    trained_at: float
    rates: Mapping[str, Sequence[float]]

    @cached_property
    def _lines(self) -> dict[tuple[str, Cell, str, str], Agreement]:
        return {(each.study, each.cell, each.prediction, each.truth): each.found for each in self.lines}

    @cached_property
    def _shares(self) -> dict[tuple[Cell, str], Part]:
        return {(each.cell, each.name): each.part for each in self.shares}

    def cell(self, optimiser: str, rate: float, updates: str, tokens: str = "all") -> Cell:
        """Of the runs that were taken apart."""
        return Cell(optimiser, rate, self.trained_at, updates, tokens)

    def line(self, study: str, cell: Cell, prediction: str, truth: str = "measured") -> Agreement | None:
        """None if there is no such line."""
        return self._lines.get((study, cell, prediction, truth))

    def share(self, cell: Cell, part: str) -> Part:
        """Raises KeyError if it was not measured."""
        return self._shares[cell, part]

    @property
    def updates(self) -> list[str]:
        """Groups of updates."""
        return list(dict.fromkeys(cell.updates for cell in self.sizes))

    def points(self, optimiser: str, updates: str, prediction: str, measure: str) -> list[Point]:
        """A measure over learning rates."""
        points = []
        for rate in self.rates[optimiser]:
            found = self.line("rates", self.cell(optimiser, rate, updates), prediction)
            each = found.measures[measure] if found else None
            if each and each.value is not None:
                low, high = (each.value if end is None else end for end in (each.low, each.high))
                points.append(Point(rate, each.value, low, high))
        return points


def crossing(points: Sequence[tuple[float, float]], level: float) -> float:
    """The learning rate at which a measure first falls below the level; ∞ if it does nowhere, 0 if from the start.

    points  learning rate and value, by learning rate; between two of them the value is taken as even in log η
    """
    before: tuple[float, float] | None = None
    for rate, value in points:
        if value < level:
            if before is None:
                return 0.0
            part = (before[1] - level) / (before[1] - value)
            return float(before[0] * (rate / before[0]) ** part)
        before = rate, value
    return math.inf


def write_agreement(found: Results, path: Path) -> None:
    kept = {"tokens", "problems", *MEASURES}
    rows = []
    for line in found.lines:
        flat = line.found.flat().items()
        numbers = {k: v for k, v in flat if k.removesuffix("_low").removesuffix("_high") in kept}
        where = asdict(line.cell)
        where["which_tokens"] = where.pop("tokens")
        rows.append({"study": line.study, **where, "prediction": line.prediction, "truth": line.truth, **numbers})
    _write(rows, path)


def write_parts(found: Results, path: Path) -> None:
    rows = []
    for share in found.shares:
        where = asdict(share.cell)
        where.pop("tokens")
        row = {**where, "part": share.name, "mean_absolute_nats": share.size}
        for name in ("mean", "size", "fit"):
            value = getattr(share.part, name)
            row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        rows.append(row)
    _write(rows, path)


def write_tails(found: Results, path: Path) -> None:
    rows = []
    for tail in found.tails:
        where = asdict(tail.cell)
        where.pop("tokens")
        rows.append({**where, **{name: value for name, value in asdict(tail).items() if name != "cell"}})
    _write(rows, path)


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
