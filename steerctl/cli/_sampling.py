"""What `steerctl rollout` shows while it samples: a line redrawn in place, lines now and then elsewhere, or nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from steerctl.cli._display import clock

if TYPE_CHECKING:
    from steerctl.run.sampling import SamplingDisplay

BETWEEN_SECONDS = 5.0
"""Between two lines where the output is no terminal."""


def sampling_display(*, quiet: bool = False, console: Console | None = None) -> SamplingDisplay:
    """The display for this terminal: live, plain where the output is no terminal, or quiet."""
    console = console or Console(highlight=False, soft_wrap=True, stderr=True)
    if quiet:
        return Silent()
    draws = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return LiveLine(console) if draws else PlainLines(console)


class Silent:
    """Nothing."""

    def start(self, title: str, done: int, total: int, longest: int) -> None:
        """Nothing."""

    def tokens(self, count: int) -> None:
        """Nothing."""

    def samples(self, done: int) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing is held."""


class Gauge:
    """How far sampling is, from the responses on disk and the tokens of those under way; seconds since the start."""

    def __init__(self, done: int, total: int, longest: int) -> None:
        self.first, self.done, self.total = done, done, total
        self._longest, self._start = longest, time.monotonic()
        self.tokens, self._kept_tokens = 0, 0

    def add(self, tokens: int) -> None:
        """So many more tokens were sampled."""
        self.tokens += tokens

    def keep(self, done: int) -> None:
        """So many responses are on disk."""
        self.done, self._kept_tokens = done, self.tokens

    @property
    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._start

    @property
    def speed(self) -> float:
        """Tokens per second so far."""
        return self.tokens / max(self.elapsed, 1e-9)

    @property
    def reached(self) -> float:
        """Responses that are sampled, those under way counted by their tokens and the mean length so far."""
        own = self.done - self.first
        mean = self._kept_tokens / own if own else self._longest
        return min(self.done + (self.tokens - self._kept_tokens) / max(mean, 1.0), self.total)

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far; None before anything was sampled."""
        own = self.reached - self.first
        return self.elapsed / own * (self.total - self.reached) if own > 0 else None

    def line(self) -> str:
        """e.g. "120/800 responses  5,210 tokens/s  0:12  1:05 left"."""
        left = f"{clock(self.left)} left" if self.left is not None else "time left unknown"
        return f"{self.done}/{self.total} responses  {self.speed:,.0f} tokens/s  {clock(self.elapsed)}  {left}"


class PlainLines(Silent):
    """One line every few seconds, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._gauge = Gauge(0, 0, 1)
        self._told = 0.0

    def start(self, title: str, done: int, total: int, longest: int) -> None:
        """What is sampled, and where it goes on."""
        self._gauge, self._told = Gauge(done, total, longest), time.monotonic()
        self.note(f"{title}; {total} responses" + (f", {done} are there" if done else ""))

    def tokens(self, count: int) -> None:
        """Count, and tell now and then."""
        self._gauge.add(count)
        self._tell()

    def samples(self, done: int) -> None:
        """Tell the last."""
        self._gauge.keep(done)
        self._tell(always=done == self._gauge.total)

    def note(self, message: str) -> None:
        """One line."""
        self._console.print(Text(message), soft_wrap=True)

    def _tell(self, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._told > BETWEEN_SECONDS:
            self._told = now
            self.note(self._gauge.line())


class LiveLine(Silent):
    """A bar with numbers, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._gauge = Gauge(0, 0, 1)
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._drawn)

    def start(self, title: str, done: int, total: int, longest: int) -> None:
        """Draw it."""
        self.note(title)
        self._gauge = Gauge(done, total, longest)
        self._live.start()

    def tokens(self, count: int) -> None:
        """Count."""
        self._gauge.add(count)

    def samples(self, done: int) -> None:
        """Count."""
        self._gauge.keep(done)

    def note(self, message: str) -> None:
        """One line above it."""
        self._console.print(Text(message), soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _drawn(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=30)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(ProgressBar(total=max(self._gauge.total, 1), completed=self._gauge.reached), self._gauge.line())
        return grid
