"""What a training run shows: a live panel on a terminal, one line per step elsewhere, or only the end.

`display(quiet=...)` chooses. All three are reporters (steerctl/run/reporter.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from steerctl.cli._write import TREND, clock, sparkline, write
from steerctl.run.reporter import LOADING

if TYPE_CHECKING:
    from steerctl.run.reporter import Reporter
    from steerctl.spec.experiment import ExperimentSpec

__all__ = ["SHOWN", "LivePanel", "Panel", "Plain", "Quiet", "Shown", "clock", "display"]

NARROW = 90
"""Below this many columns the panel has one column of numbers instead of two."""
TIGHT = 50
"""Below this many its header and progress are lines of their own, without a bar."""
NO_TREND = 34
"""Below this many there are no trend lines."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A number of the panel: its label, its metric key, how it is written."""

    label: str
    key: str
    form: str = "{:.3f}"


SHOWN = (
    Shown("reward", "reward/mean"),
    Shown("entropy", "policy/entropy/mean"),
    Shown("accuracy", "accuracy/mean"),
    Shown("entropy after", "policy/entropy_after/mean"),
    Shown("validation", "validation/accuracy/mean"),
    Shown("predicted ΔH/η", "entropy_change/exact/mean", "{:+.2e}"),
    Shown("clip high", "clip/high/fraction", "{:.2%}"),
    Shown("clip low", "clip/low/fraction", "{:.2%}"),
    Shown("gradient norm", "optim/grad_norm/mean"),
    Shown("weight", "weight/mean"),
    Shown("length", "response/length/mean", "{:.1f}"),
    Shown("tokens/s", "throughput/tokens/per_second", "{:,.0f}"),
)

SAID_AT_ONCE = "loading the policy, the problems and the engines"


def display(*, quiet: bool = False, console: Console | None = None) -> Reporter:
    """The reporter for this terminal: live, plain where the output is no terminal, or quiet."""
    console = console or Console(highlight=False, soft_wrap=True)
    if quiet:
        return Quiet(console)
    draws = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return LivePanel(console) if draws else Plain(console)


class Quiet:
    """Only how the run ended, and warnings."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:
        """Nothing."""

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """One line."""
        self._console.print(Text(message), soft_wrap=True)

    def finish(self, message: str) -> None:
        """The message."""
        self._console.print(Text(message), soft_wrap=True)

    def close(self) -> None:
        """Nothing is held."""


class Plain(Quiet):
    """One line per step, for files and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._pace = Pace(1, 1)

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:
        """What runs and where."""
        self._pace = Pace(first_step, steps)
        self.note(f"{title(spec)}; steps {first_step} to {steps}; {run_path}")

    def phase(self, step: int, name: str, done: int, total: int) -> None:  # noqa: ARG002 (Reporter)
        """That loading began; the rest is in the step's line."""
        if name == LOADING:
            self.note(SAID_AT_ONCE)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """The step's line."""
        self._pace.passed(step)
        self.note(step_line(step, self._pace, metrics))


class LivePanel(Quiet):
    """Progress, numbers and their trends, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._panel = Panel()
        self._live = Live(self._panel, console=console, refresh_per_second=4, transient=False)

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:
        """Draw the panel."""
        self._panel = Panel(title(spec), str(run_path), Pace(first_step, steps))
        self._live.update(self._panel)
        self._live.start()

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """Show what the step is at."""
        if name == LOADING:
            self.note(SAID_AT_ONCE)
        self._panel.phase = (step, name, done, total)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in a step's numbers."""
        self._panel.take(step, metrics)
        self._live.refresh()

    def finish(self, message: str) -> None:
        """Leave the panel as it is and print the message below it."""
        self.close()
        super().finish(message)

    def close(self) -> None:
        """Give the terminal back."""
        self._panel.phase = None
        self._live.stop()


class Pace:
    """Steps done and time left, from the steps of this process alone."""

    def __init__(self, first_step: int, steps: int) -> None:
        self.steps = steps
        self.done = first_step - 1
        self._first = first_step
        self._start = time.monotonic()

    def passed(self, step: int) -> None:
        """Step number `step` is finished."""
        self.done = step

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float | None:
        """Seconds to go at the mean pace so far; None before the first step is finished."""
        own = self.done - self._first + 1
        return self.elapsed / own * (self.steps - self.done) if own > 0 else None


class Panel:
    """The live panel; rendering reads it, the reporter changes it."""

    def __init__(self, name: str = "", run_path: str = "", pace: Pace | None = None) -> None:
        self.name = name
        self.run_path = run_path
        self.pace = pace or Pace(1, 1)
        self.phase: tuple[int, str, int, int] | None = None
        self._history: dict[str, list[float]] = {}

    def take(self, step: int, metrics: Mapping[str, float]) -> None:
        """Remember a step's numbers."""
        self.pace.passed(step)
        self.phase = None
        for item in SHOWN:
            if item.key in metrics:
                self._history.setdefault(item.key, []).append(metrics[item.key])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Header, progress, numbers; at most `options.max_width` wide."""
        width = options.max_width
        if width < TIGHT:
            yield Group(*self._tight(), self._numbers(width))
            return
        header = Table.grid(padding=(0, 2))
        header.add_column(no_wrap=True, overflow="ellipsis")
        header.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        header.add_row(f"[bold]{escape(self.name)}", escape(self.run_path))
        yield Group(header, self._progress(width), self._numbers(width))

    def _tight(self) -> list[Text]:
        """Header and progress as lines; the run's path, which its start and end print too, gives way."""
        pace = self.pace
        left = f"  {clock(pace.left)} left" if pace.left is not None else ""
        lines = [
            Text(self.name, style="bold"),
            Text(f"{pace.done}/{pace.steps}  {clock(pace.elapsed)}{left}"),
            Text(self._doing(), style="dim"),
        ]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines

    def _progress(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=min(40, max(10, width - 48)))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        done, steps = self.pace.done, self.pace.steps
        left = f"{clock(self.pace.left)} left" if self.pace.left is not None else "time left unknown"
        grid.add_row(
            ProgressBar(total=max(steps, 1), completed=done),
            f"{done}/{steps}  {clock(self.pace.elapsed)}  {left}  [dim]{escape(self._doing())}",
        )
        return grid

    def _doing(self) -> str:
        if self.phase is None:
            return ""
        _, name, done, total = self.phase
        return f"{name} {done}/{total}" if total else name

    def _numbers(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 2 if width >= TIGHT else 1))
        columns = 1 if width < NARROW else 2
        for _ in range(columns):
            grid.add_column(no_wrap=True, style="dim", min_width=14)
            grid.add_column(no_wrap=True, justify="right", min_width=9)
            if width >= NO_TREND:
                grid.add_column(no_wrap=True, style="cyan", min_width=min(TREND, width - 26))
        trend = min(TREND, width - 26) if width >= NO_TREND else 0
        cells = [self._cells(item, trend) for item in SHOWN if item.key in self._history]
        for start in range(0, len(cells), columns):
            grid.add_row(*(cell for item in cells[start : start + columns] for cell in item))
        return grid

    def _cells(self, item: Shown, trend: int) -> tuple[str, ...]:
        values = self._history[item.key]
        shown = (item.label, write(item.form, values[-1]))
        return (*shown, sparkline(values, trend)) if trend else shown


def step_line(step: int, pace: Pace, metrics: Mapping[str, float]) -> str:
    """One step in one line; what was not measured is left out."""
    parts = [f"step {step}/{pace.steps}"]
    for label, key, form in (
        ("reward", "reward/mean", "{:.3f}"),
        ("entropy", "policy/entropy/mean", "{:.3f}"),
        ("after", "policy/entropy_after/mean", "{:.3f}"),
        ("dH/eta", "entropy_change/exact/mean", "{:+.1e}"),
        ("clip+", "clip/high/fraction", "{:.2%}"),
        ("clip-", "clip/low/fraction", "{:.2%}"),
        ("validation", "validation/accuracy/mean", "{:.3f}"),
        ("tok/s", "throughput/tokens/per_second", "{:.0f}"),
        ("s", "time/step/seconds", "{:.1f}"),
    ):
        if key in metrics:
            parts.append(f"{label} {write(form, metrics[key])}")
    if pace.left is not None:
        parts.append(f"left {clock(pace.left)}")
    return "  ".join(parts)


def title(spec: ExperimentSpec) -> str:
    """Name, advantage estimator and interventions, e.g. "quickstart: grpo + steer"."""
    kinds = [spec.algorithm.advantage.kind, *(item.kind for item in spec.algorithm.interventions)]
    return f"{spec.name}: {' + '.join(kinds)}"
