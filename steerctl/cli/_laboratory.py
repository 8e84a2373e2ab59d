"""How `steerctl analyze` sums up what it found."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from steerctl.analysis.attribution import by_text
from steerctl.analysis.columns import COLUMNS, PLAIN, TRAINED
from steerctl.analysis.shares import decomposition
from steerctl.analysis.slices import GROUPINGS, slices
from steerctl.analysis.table import arrays
from steerctl.report.tokens import LABELS, visible, write_token_page
from steerctl.store.atomic import writing

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
    optimisers = by_optimiser(tokens)
    for name, few in optimisers.items():
        if len(optimisers) > 1:
            console.print(f"{name} at learning rate {_rates(few)}", style="bold")
        console.print(agreement_table(few))
        if np.isfinite(few["own_state"]).any():
            console.print(parts_table(few))
    console.print(movers_table(optimisers.get(TRAINED, tokens)))
    console.print(NOTES, style="dim", markup=False)


def by_optimiser(tokens: Tokens) -> dict[str, Tokens]:
    """The tokens of the steps as they were, and those of the steps that might have been."""
    found: dict[str, Tokens] = {}
    for name in (TRAINED, PLAIN):
        own_N = tokens["optimiser"] == name
        if own_N.any():
            found[name] = {column: values[own_N] for column, values in tokens.items()}
    return found


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
    every: Tokens = arrays(*(each.table for each in steps))
    tokens = by_optimiser(every).get(TRAINED, every)
    names = [name for name in LABELS if name != "measured" and np.isfinite(tokens[name]).any()]
    in_nats = {name for name in names if COLUMNS[name].unit == "nats"}
    others = [name for name in names if name not in in_nats]
    fits = slices(tokens, predictions=others, by=("all",), step_size=1.0)
    slopes = {line.prediction: line.agreement.measures["slope"].value for line in fits}
    scales = {name: 1.0 if name in in_nats else slopes.get(name) for name in names}
    predictions = {name: scale for name, scale in scales.items() if scale is not None}
    write_token_page(tokens, path, title=title, predictions=predictions)


def write_slices(steps: Sequence[AnalyzedStep], path: Path) -> None:
    """Agreement of every prediction by each of `GROUPINGS`, the optimisers apart, as CSV.

    Raises:
        StorageError: the file cannot be written.
    """
    tokens = arrays(*(each.table for each in steps))
    lines = [
        {"optimiser": name, **line.flat()}
        for name, few in by_optimiser(tokens).items()
        for line in slices(few, by=[by for by in GROUPINGS if by != "optimiser"])
    ]
    columns = list(lines[0]) if lines else ["optimiser", "prediction", "by", "group"]
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in line.items()})


def _rates(tokens: Tokens) -> str:
    return ", ".join(f"{rate:g}" for rate in np.unique(tokens["learning_rate"]).tolist())


def _value(estimate: Estimate, form: str = "{:.2f}") -> str:
    return "-" if estimate.value is None else form.format(estimate.value)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} [{estimate.low:.2f}, {estimate.high:.2f}]"
