"""How `steerctl analyze` sums up what it found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from steerctl.analysis.attribution import by_text
from steerctl.analysis.columns import COLUMNS
from steerctl.analysis.shares import decomposition
from steerctl.analysis.slices import slices
from steerctl.analysis.table import arrays
from steerctl.report.tokens import LABELS, visible, write_token_page

if TYPE_CHECKING:
    from steerctl.analysis.bootstrap import Estimate
    from steerctl.analysis.slices import Table as Tokens
    from steerctl.run.analyze import AnalyzedStep

MEASURES = {"Pearson": "pearson", "Spearman": "spearman", "same sign": "sign", "top 5%": "top_5_size"}
PARTS = ("own_state", "interference", "remainder")
MOVERS = 5
"""Token strings shown at either end."""
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
    console.print(movers_table(tokens))
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


def movers_table(tokens: Tokens) -> Table:
    """The token strings that lost most entropy in total, and those that gained most."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("token", no_wrap=True)
    for title in ("tokens", "total, nats", "mean, nats"):
        table.add_column(title, justify="right", no_wrap=True)
    found = by_text(tokens)
    losing = [each for each in found if each.total < 0][:MOVERS]
    gaining = [each for each in found if each.total > 0][-MOVERS:]
    for each in (*losing, *gaining):
        name = Text(repr(visible(each.label)))
        table.add_row(name, str(each.count), f"{each.total:+.2e}", f"{each.mean:+.2e}")
    return table


def write_page(steps: Sequence[AnalyzedStep], path: Path, title: str) -> None:
    """Responses with every token coloured by its change; predictions without a unit scaled to fit best.

    Raises:
        StorageError: the file cannot be written.
    """
    tokens = arrays(*(each.table for each in steps))
    names = [name for name in LABELS if name != "measured" and np.isfinite(tokens[name]).any()]
    in_nats = {name for name in names if COLUMNS[name].unit == "nats"}
    others = [name for name in names if name not in in_nats]
    fits = slices(tokens, predictions=others, by=("all",), step_size=1.0)
    slopes = {line.prediction: line.agreement.measures["slope"].value for line in fits}
    scales = {name: 1.0 if name in in_nats else slopes.get(name) for name in names}
    predictions = {name: scale for name, scale in scales.items() if scale is not None}
    write_token_page(tokens, path, title=title, predictions=predictions)


def _value(estimate: Estimate, form: str = "{:.2f}") -> str:
    return "-" if estimate.value is None else form.format(estimate.value)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} [{estimate.low:.2f}, {estimate.high:.2f}]"
