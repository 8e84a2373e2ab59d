"""Agreement of every prediction on slices of the tokens, both optimisers side by side -> transformer_slices.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformer_results import MEASURES
from transformer_tables import LABELS, markdown, measure, rate_text

from steerctl.analysis.slices import PREDICTIONS, Slice, slices

Tokens = Mapping[str, NDArray[Any]]

AT = {"AdamW": 4e-4, "SGD": 0.1}
"""Learning rates at which the optimisers move a token's entropy about equally far."""
BY = ("all", "step", "quadrant", "probability", "grad_norm")
SHOWN = ("first_order", "own_state", "exact", "own_logit", "released", "covariance")
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Sliced:
    """One slice of the tokens of an optimiser at a learning rate; None: at all rates, which are what is sliced."""

    optimiser: str
    rate: float | None
    found: Slice


def sliced(tokens: Tokens) -> Iterator[Sliced]:
    """Every prediction by every quantity, and by learning rate; all updates that were looked at."""
    for optimiser, rate in AT.items():
        own = _chosen(tokens, tokens["optimiser"] == optimiser)
        here = _chosen(own, np.isclose(own["learning_rate"], rate))
        for found in slices(here, by=BY, resamples=RESAMPLES):
            yield Sliced(optimiser, rate, found)
        for found in slices(own, by=["learning_rate"], resamples=RESAMPLES):
            yield Sliced(optimiser, None, found)


def _chosen(tokens: Tokens, mask_N: NDArray[np.bool_]) -> Tokens:
    return {name: values[mask_N] for name, values in tokens.items()}


def write_slices(found: Sequence[Sliced], path: Path) -> None:
    kept = {"tokens", "problems", *MEASURES}
    rows = []
    for each in found:
        flat = each.found.agreement.flat().items()
        numbers = {k: v for k, v in flat if k.removesuffix("_low").removesuffix("_high") in kept}
        named = {"prediction": each.found.prediction, "by": each.found.by, "group": each.found.group}
        rows.append({"optimiser": each.optimiser, "learning_rate": each.rate, **named, **numbers})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})


def slice_table(found: Sequence[Sliced]) -> str:
    """By optimiser, and by training step under each."""
    head = ["optimiser", "learning rate", "step", "tokens", *(f"{LABELS[name]}: Pearson" for name in SHOWN)]
    lines = {
        (each.optimiser, each.found.by, each.found.group, each.found.prediction): each.found.agreement
        for each in found
        if each.rate is not None and each.found.by in {"all", "step"}
    }
    groups = list(dict.fromkeys(key[:3] for key in lines))
    rows = []
    for optimiser, by, group in groups:
        few = {name: lines.get((optimiser, by, group, name)) for name in PREDICTIONS}
        first = few["first_order"]
        count = f"{first.tokens:,}" if first else ""
        cells = [measure(few[name], "pearson") for name in SHOWN]
        rows.append([optimiser, rate_text(AT[optimiser]), "all" if by == "all" else group, count, *cells])
    return markdown(head, rows)
