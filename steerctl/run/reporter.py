"""Who is told how a run goes: the terminal, wandb. The loop calls one reporter; `Everyone` passes on to several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from steerctl.spec.experiment import ExperimentSpec

LOADING = "load"
"""The phase of step 0 before `start`: policy, problems and engines are being loaded, which takes seconds to minutes."""


class Reporter(Protocol):
    """Told in this order: the phase LOADING, start, then per step any number of phases and one step, finish, close.

    Notes come at any time. A reporter never raises and never stops a run. Only the first rank has one that shows.
    """

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:
        """The run begins with `first_step` (1, or later when resumed) and ends with step number `steps`."""

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """Part of a step, e.g. ("generate", 128, 512) responses; total 0 where progress is unknown."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is finished; keys as in metrics/catalogue.py."""

    def note(self, message: str) -> None:
        """One line the user should see: a warning, a checkpoint that was resumed."""

    def finish(self, message: str) -> None:
        """The run ended; one or more lines that say how and where its folder is."""

    def close(self) -> None:
        """Let go of terminal and network; may be called twice."""


class Everyone:
    """Passes everything on to several reporters, in order; without any, it is silent."""

    def __init__(self, reporters: Sequence[Reporter] = ()) -> None:
        self._reporters = tuple(reporters)

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.start(spec, run_path, first_step, steps)

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.phase(step, name, done, total)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.step(step, metrics)

    def note(self, message: str) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.note(message)

    def finish(self, message: str) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.finish(message)

    def close(self) -> None:
        """As `Reporter`."""
        for reporter in self._reporters:
            reporter.close()
