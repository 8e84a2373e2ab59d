"""How `steerctl analyze` sums up what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from steerctl.analysis.shares import decomposition
from steerctl.analysis.slices import slices
from steerctl.analysis.table import arrays

if TYPE_CHECKING:
    from steerctl.analysis._bootstrap import Estimate
    from steerctl.analysis.slices import Table as Tokens
    from steerctl.run.analyze import AnalyzedStep

MEASURES = {"Pearson": "pearson", "Spearman": "spearman", "same sign": "sign", "top 5%": "top_5_size"}
PARTS = ("own_state", "interference", "remainder")
NOTES = (
    "same sign: share of the tokens; top 5%: overlap of the largest changes; size: share of all movement; explained: "
    "share of the measured change's square, negative for a part that opposes it; brackets: 95% intervals over problems"
)


def present(steps: Sequence[AnalyzedStep], console: Console | None = None) -> None:
    """Agreement of every prediction with the measured change, and what that consists of, over all steps together."""
    console = console or Console(highlight=False)
    tokens = arrays(*(each.table for each in steps))
    if not len(tokens["measured"]):
        console.print("none of these steps has a trained token")
        return
    console.print(agreement_table(tokens))
    if np.isfinite(tokens["own_state"]).any():
        console.print(parts_table(tokens))
    console.print(NOTES, style="dim", markup=False)


def agreement_table(tokens: Tokens) -> Table:
    """A row per prediction."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("against the measured", no_wrap=True)
    for title in MEASURES:
        table.add_column(title, justify="right", no_wrap=True)
    for line in slices(tokens, by=("all",)):
        first, *others = (line.agreement.measures[name] for name in MEASURES.values())
        table.add_row(line.prediction.replace("+", " + "), _interval(first), *map(_value, others))
    return table


def parts_table(tokens: Tokens) -> Table:
    """A row per part of the measured change."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("part of the measured", no_wrap=True)
    for title in ("mean, nats", "size", "explained"):
        table.add_column(title, justify="right", no_wrap=True)
    found = decomposition({name: tokens[name] for name in PARTS}, tokens["problem_id"])
    for name, part in found.items():
        table.add_row(name, _value(part.mean, "{:+.2e}"), _interval(part.size), _interval(part.fit))
    return table


def _value(estimate: Estimate, form: str = "{:.2f}") -> str:
    return "-" if estimate.value is None else form.format(estimate.value)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} [{estimate.low:.2f}, {estimate.high:.2f}]"
