"""Finished cells of a sweep, and the numbers of a table over their seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steerctl.errors import RunFolderError
from steerctl.evaluation.ends import chosen_step, last_value, value_at
from steerctl.evaluation.seeds import OverSeeds, over_seeds
from steerctl.store.record import RunRecord
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.command import folder_of
from steerctl.sweep.plan import baseline_of

BEFORE = "before training"
"""Stands for a variant in the row of the untrained policy."""
FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Done:
    """A finished cell: its run folder, its metrics, and over how many last steps a value is the mean."""

    record: RunRecord
    lines: Sequence[Mapping[str, float]]
    last_steps: int


Read = Callable[[Done], float | None]


@dataclass(frozen=True, slots=True)
class Number:
    """A column: what it is called, how a cell's value is read, what it is multiplied by to be shown.

    compared  also the difference to the baseline
    """

    key: str
    title: str
    read: Read
    factor: float
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Cells:
    """The finished cells by variant and seed, how many were wanted, and what each variant is compared with."""

    done: Mapping[str, Mapping[int, Done]]
    wanted: int
    baselines: Mapping[str, str | None]

    @property
    def finished(self) -> int:
        """How many there are."""
        return sum(len(each) for each in self.done.values())

    def over_seeds(self, number: Number) -> dict[str, OverSeeds]:
        """One number of every variant that has it."""
        found = {name: {seed: number.read(each) for seed, each in own.items()} for name, own in self.done.items()}
        values = {name: {seed: v for seed, v in own.items() if v is not None} for name, own in found.items()}
        return over_seeds(values, self.baselines)

    def before(self, number: Number, baseline: str) -> OverSeeds | None:
        """A number of the untrained policy: what the baseline's runs measured before their first step."""
        values = {seed: _first(each, number.key) for seed, each in self.done.get(baseline, {}).items()}
        there = {seed: value for seed, value in values.items() if value is not None}
        return over_seeds({BEFORE: there}, {}).get(BEFORE)


def read_cells(agenda: Agenda, variants: Sequence[str]) -> Cells:
    """What is finished of these variants. Raises SpecError if a baseline does not exist."""
    folder, last = folder_of(agenda), agenda.sweep.spec.last_steps
    done: dict[str, dict[int, Done]] = {name: {} for name in variants}
    wanted = [cell for cell in agenda.cells.values() if cell.variant in done]
    for cell in wanted:
        record = folder.record(cell)
        if record is not None and _whole(record, cell.spec.steps):
            done[cell.variant][cell.seed] = Done(record, record.read_metrics(), last)
    others = {each.name: baseline_of(each, agenda.variants, agenda.sweep) for each in agenda.variants}
    baselines = {name: other.name if (other := others[name]) is not None else None for name in variants}
    return Cells(done, len(wanted), {name: other if other in done else None for name, other in baselines.items()})


def _whole(record: RunRecord, steps: int) -> bool:
    try:
        return record.status.state == FINISHED and record.status.step == steps
    except RunFolderError:
        return False


def at_last(key: str) -> Read:
    """The metric at the end of the run."""
    return lambda done: last_value(done.lines, key, done.last_steps)


def at_step_of(chooser: str, key: str) -> Read:
    """The metric at the step where another one was best."""

    def read(done: Done) -> float | None:
        step = chosen_step(done.lines, chooser)
        return None if step is None else value_at(done.lines, key, step)

    return read


def by_length(numbers: Sequence[int]) -> Read:
    """Accuracy on the validation problems that are chains of so many numbers, at the last validation."""

    def read(done: Done) -> float | None:
        steps = done.record.validation_steps()
        if not steps:
            return None
        table = done.record.read_validation(steps[-1])
        found = [
            verdict
            for prompt, verdict in zip(table.prompt, table.verdict, strict=True)
            if len(re.findall(r"\d+", prompt)) in numbers
        ]
        return float(np.mean(found)) if found else None

    return read


def _first(done: Done, key: str) -> float | None:
    """At step 0 where it was measured there, else at the first step, which is measured before its first update."""
    start = value_at(done.lines, key, 0)
    return start if start is not None or key.startswith("eval/") else value_at(done.lines, key, 1)
