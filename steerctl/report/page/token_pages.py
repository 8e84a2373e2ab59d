"""Pages of tokens for the runs that have token tables, to be shown inside the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from steerctl.analysis.columns import COLUMNS, TRAINED
from steerctl.analysis.table import arrays
from steerctl.report.page.methods import Methods, Run
from steerctl.report.tokens import LABELS, token_page

MOST_PAGES = 12
MOST_LETTERS = 3_000_000
"""Of all pages together."""
RESPONSES = 4
"""Shown on each page."""


@dataclass(frozen=True, slots=True)
class TokenPage:
    """A page of tokens (report/tokens.py), and what it is of."""

    label: str
    html: str


def token_pages(methods: Methods) -> list[TokenPage]:
    """For each method the newest token table of its first run that has one, until there are enough.

    Raises:
        RunFolderError: a table cannot be read.
    """
    found: list[TokenPage] = []
    letters = 0
    for page in _all(methods):
        letters += len(page.html)
        if len(found) == MOST_PAGES or letters > MOST_LETTERS:
            break
        found.append(page)
    return found


def _all(methods: Methods) -> Iterator[TokenPage]:
    for method in methods.methods:
        page = next((page for run in method.runs if (page := _page(run)) is not None), None)
        if page is not None:
            yield page


def _page(run: Run) -> TokenPage | None:
    record = run.record
    if steps := record.analysis_steps():
        step, table = steps[-1], record.read_analysis(steps[-1])
    elif steps := record.probe_steps():
        step, table = steps[-1], record.read_probe(steps[-1])
    else:
        return None
    tokens: dict[str, Any] = dict(arrays(table))
    own_N = tokens["optimiser"] == TRAINED
    tokens = {name: values[own_N] for name, values in tokens.items()} if own_N.any() else tokens
    if not len(tokens["measured"]):
        return None
    names = [name for name in LABELS if name != "measured" and COLUMNS[name].unit == "nats"]
    shown = {name: 1.0 for name in names if np.isfinite(tokens[name]).any()}
    label = f"{record.name}, step {step}"
    return TokenPage(label, token_page(tokens, title=label, predictions=shown, shown=RESPONSES))
