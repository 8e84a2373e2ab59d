"""How `steerctl eval compare` shows what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from steerctl.evaluation.intervals import Interval
    from steerctl.evaluation.versus import Against, Versus

NOTES = (
    "points of 100 on the same questions; brackets: 95% intervals over questions like these, and over fresh samples",
    "p: sign-flip permutation test over questions; Holm: corrected for the number of benchmarks and evaluations",
)


def show(found: Versus) -> None:
    """A table of differences, what each test could have seen, and what differs besides."""
    console = Console(highlight=False)
    for other in dict.fromkeys(row.path for row in found.rows):
        console.print(f"{other} against {found.first}", style="bold", markup=False, soft_wrap=True)
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("benchmark", no_wrap=True)
        for title in ("first", "this", "change", "like these", "these", "p", "Holm"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in (row for row in found.rows if row.path == other):
            table.add_row(*_cells(row))
        console.print(table, "")
    for line in (*(sentence(row) for row in found.rows), *found.notes, *NOTES):
        console.print(line, style="dim", markup=False, soft_wrap=True)


def sentence(row: Against) -> str:
    """What the test could have seen, e.g. "math500: this test could have seen 3.1 points with a chance of 80%"."""
    seen = row.comparison.detectable
    if seen is None:
        return f"{row.benchmark}: no difference between any two answers, so nothing is known of what could be seen"
    said = f"{row.benchmark}: this test could have seen {100 * seen:.1f} points with a chance of 80%"
    return said if row.comparison.p_value < 0.05 else f"{said}; what is smaller would have been missed"


def as_json(found: Versus) -> str:
    """Everything, as JSON."""
    rows = [
        {
            "evaluation": str(row.path),
            "benchmark": row.benchmark,
            "accuracies": list(row.accuracies),
            "difference": row.comparison.difference.value,
            "intervals": {each.population: _bar(each) for each in (row.comparison.difference, row.comparison.fixed)},
            "p_value": row.comparison.p_value,
            "p_holm": row.p_corrected,
            "detectable": row.comparison.detectable,
        }
        for row in found.rows
    ]
    return json.dumps({"first": str(found.first), "comparisons": rows, "notes": list(found.notes)}, indent=1)


def _cells(row: Against) -> list[str]:
    return [
        row.benchmark,
        *(f"{100 * each:.1f}" for each in row.accuracies),
        f"{100 * row.comparison.difference.value:+.1f}",
        _range(row.comparison.difference),
        _range(row.comparison.fixed),
        _p(row.comparison.p_value),
        "" if row.p_corrected is None else _p(row.p_corrected),
    ]


def _bar(interval: Interval) -> dict[str, Any]:
    return {"low": interval.low, "high": interval.high, "error": interval.error, "method": interval.method}


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "unknown"
    return f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"
