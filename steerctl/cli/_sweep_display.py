"""What a sweep shows: a live table of variants on a terminal, one line per event elsewhere, and the comparison."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from steerctl.cli._write import clock

if TYPE_CHECKING:
    from steerctl.spec.finding import Finding
    from steerctl.sweep.agenda import Agenda
    from steerctl.sweep.command import SweepOutcome
    from steerctl.sweep.progress import CellView, Display, Snapshot
    from steerctl.sweep.summary import VariantRow

EVERY_SECONDS = 30.0
"""How often a plain output says how far the sweep is, if nothing else happens."""
SIGNS = {"finished": "█", "running": "▶", "waiting": "·", "failed": "✗", "pruned": "–"}


def display(*, quiet: bool = False, console: Console | None = None) -> Display:
    """The display for this terminal: live, plain where the output is no terminal, or quiet."""
    console = console or Console(highlight=False, soft_wrap=True)
    if quiet:
        return Quiet(console)
    draws = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return LiveTable(console) if draws else Plain(console)


class Quiet:
    """Warnings and failures."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def update(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """What somebody should know; nothing of ordinary progress."""
        if "warning" in text or "failed" in text or "killed" in text:
            self.console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Nothing is held."""


class Plain(Quiet):
    """One line per event, for files and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._said, self._line = -EVERY_SECONDS, ""

    def update(self, snapshot: Snapshot) -> None:
        """How far it is, if that has changed or half a minute has passed."""
        line = headline(snapshot)
        key = line.partition("; left")[0]
        if key != self._line or time.monotonic() - self._said > EVERY_SECONDS:
            self._said, self._line = time.monotonic(), key
            self.console.print(Text(line), soft_wrap=True)

    def note(self, text: str) -> None:
        """The line."""
        self.console.print(Text(text), soft_wrap=True)


class LiveTable(Plain):
    """Variants and their cells, redrawn in place; notes go above."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def update(self, snapshot: Snapshot) -> None:
        """Draw it."""
        self._live.update(Group(_progress(snapshot), variants_table(snapshot, self.console.height - 6)))

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


def headline(snapshot: Snapshot) -> str:
    """`4 of 10 cells finished, 2 running, 1 failed; left 3:20`."""
    parts = [f"{snapshot.count('finished')} of {len(snapshot.cells)} cells finished"]
    for state, word in (("running", "running"), ("failed", "failed"), ("pruned", "given up")):
        count = sum(cell.state == state for cell in snapshot.cells)
        parts += [f"{count} {word}"] if count else []
    left = f"; left {clock(snapshot.left)}" if snapshot.left else ""
    return ", ".join(parts) + left


def variants_table(snapshot: Snapshot, room: int) -> Table:
    """One line per variant: its cells, the metric's mean over finished seeds, what runs. At most `room` lines."""
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True, overflow="ellipsis")
    by_variant: dict[str, list[CellView]] = {}
    for cell in snapshot.cells:
        by_variant.setdefault(cell.variant, []).append(cell)
    order = sorted(by_variant.items(), key=lambda each: _urgency(each[1]))  # what runs is never cut off
    shown = dict(order[: max(room, 3)])
    table.add_row("[dim]variant", "[dim]cells", f"[dim]{escape(snapshot.metric)}", "[dim]running")
    for variant, cells in by_variant.items():
        if variant in shown:
            signs = "".join(SIGNS[cell.state] for cell in cells)
            running = "  ".join(
                f"seed {cell.seed}: {cell.step}/{cell.steps}" for cell in cells if cell.state == "running"
            )
            table.add_row(escape(variant), signs, _mean(cells), running)
    if len(shown) < len(by_variant):
        table.add_row(f"[dim]and {len(by_variant) - len(shown)} more")
    return table


def cells_table(agenda: Agenda, snapshot: Snapshot) -> None:
    """`--dry-run`: every cell with its state, then what the sweep costs."""
    from steerctl.sweep.progress import most_tokens

    console = Console(highlight=False)
    rows = [
        (
            cell.id, cell.state, f"{cell.step}/{cell.steps}", f"{cell.value:.4f}" if cell.value is not None else "",
            str(cell.attempts or ""), clock(cell.wall) if cell.wall is not None else "",
        )
        for cell in snapshot.cells
    ]  # fmt: skip
    titles = ("cell", "state", "steps", snapshot.metric.replace("/", "/\n"), "tries", "time")
    used = [place for place in range(len(titles)) if place < 3 or any(row[place] for row in rows)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place in used:
        table.add_column(titles[place], no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(row[place] for place in used))
    console.print(table)
    specs = {variant.name: variant.spec for variant in agenda.variants}
    first = agenda.variants[0].spec
    most = sum(most_tokens(specs.get(cell.variant, first)) for cell in snapshot.cells)
    spent = [cell.tokens for cell in snapshot.cells if cell.tokens is not None]
    likely = (
        f"; {sum(spent) / len(spent) * len(snapshot.cells):,.0f} at the mean of {len(spent)} finished" if spent else ""
    )
    console.print(
        f"{len(snapshot.cells)} cells; at most {most:,} sampled tokens, validation included{likely}", markup=False
    )
    console.print(
        f"{headline(snapshot)}{'' if snapshot.left is not None else '; time is known when a cell is finished'}"
    )


def print_findings(findings: Sequence[Finding]) -> bool:
    """The warnings and errors, a line each; whether there is an error, so that the sweep would not start."""
    for each in findings:
        if each.level != "note":
            print(f"{each.level}: {each.path}: {each.text}")
    return any(each.level == "error" for each in findings)


@dataclass(frozen=True, slots=True)
class Ending:
    """The last lines and the exit code."""

    lines: tuple[str, ...]
    code: int


def outcome_lines(outcome: SweepOutcome) -> Ending:
    """What failed, what is left, and where everything lies."""
    failed = [cell for cell in outcome.snapshot.cells if cell.state == "failed"]
    lines = [f"failed: {cell.id}: {cell.reason}" for cell in failed]
    left = outcome.snapshot.count("waiting", "running")
    stopped_by = outcome.stopped_by if left else None  # told to stop when nothing was left to do
    if stopped_by is not None:
        lines.append(f"stopped with {left} cells to go; the same command goes on")
    elif failed:
        lines.append(f"{len(failed)} cells failed; see {outcome.folder / 'logs'}, then add --retry-failed")
    lines.append(f"summary: {outcome.folder / 'variants.csv'}, {outcome.folder / 'cells.csv'}")
    if outcome.snapshot.count("finished"):
        lines.append(f"what may be concluded: steerctl report {shlex.quote(str(outcome.folder))}")
    code = 1 if failed else 0
    return Ending(tuple(lines), code if stopped_by is None else 128 + stopped_by)


def print_outcome(outcome: SweepOutcome) -> None:
    """The comparison and the last lines."""
    console = Console(highlight=False)
    table = comparison_table(outcome.rows, outcome.snapshot.metric)
    if outcome.best:
        console.print(Text(outcome.best), soft_wrap=True)
    elif table.row_count:
        console.print(Text(f"{outcome.snapshot.metric} at the end of the runs; brackets: 95% intervals over seeds"))
        console.print(table)
    for line in outcome_lines(outcome).lines:
        console.print(Text(line), soft_wrap=True)


def comparison_table(rows: Sequence[VariantRow], metric: str) -> Table:
    """The sweep's metric at the end of the runs: mean, paired difference to the baseline, with their intervals."""
    shown = [row for row in rows if row.metric == metric and row.at == "last"]
    baselines = list(dict.fromkeys(row.baseline for row in shown if row.baseline))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("variant", overflow="fold")
    for title in ("seeds", "mean"):
        table.add_column(title, no_wrap=True)
    if baselines:
        table.add_column(f"less {baselines[0] if len(baselines) == 1 else 'baseline'}", overflow="fold")
    for row in shown:
        against = f" {row.baseline}" if len(baselines) > 1 and row.baseline else ""
        apart = f"{_number(row.difference)} {_range(row.difference_low, row.difference_high, '+')}".strip() + against
        cells = (row.variant, str(row.seeds), f"{row.mean:.3f} {_range(row.low, row.high)}".strip())
        table.add_row(*cells, *([apart] if baselines else []))
    return table


def _progress(snapshot: Snapshot) -> Table:
    grid = Table.grid(padding=(0, 2))
    done = sum(
        cell.step / cell.steps if cell.state == "running" else cell.state != "waiting" for cell in snapshot.cells
    )
    bar = ProgressBar(total=max(len(snapshot.cells), 1), completed=done, width=30)
    grid.add_row(bar, headline(snapshot))
    return grid


def _urgency(cells: Sequence[CellView]) -> int:
    states = {cell.state for cell in cells}
    return 0 if "running" in states else 1 if "failed" in states else 2 if "waiting" in states else 3


def _mean(cells: Sequence[CellView]) -> str:
    values = [cell.value for cell in cells if cell.state == "finished" and cell.value is not None]
    return f"{sum(values) / len(values):.4f}" if values else ""


def _number(value: float | None) -> str:
    return f"{round(value, 3) + 0.0:+.3f}" if value is not None else ""


def _range(low: float | None, high: float | None, sign: str = "") -> str:
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]" if low is not None and high is not None else ""
