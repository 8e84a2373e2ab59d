"""Run folders grouped into methods: equal settings but for the seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerctl.errors import RunFolderError, UserError
from steerctl.report.compare import settings_of
from steerctl.store.record import RunRecord

SEED = "seed"
ASIDE = (SEED, "engine")
"""Settings in which runs of one method may differ: the seed, and where it ran."""
Lines = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder, read.

    lines     of its metrics, step 0 (validation before training) among them
    settings  `a.b.0.c` -> value, without name, places and logging
    """

    record: RunRecord
    seed: int
    state: str
    steps: int
    lines: Lines
    settings: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Only finished runs are compared."""
        return self.state == "finished"


@dataclass(frozen=True, slots=True)
class Method:
    """Runs that differ in the seed alone, by seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What all of its runs share."""
        return {path: value for path, value in self.runs[0].settings.items() if path.partition(".")[0] not in ASIDE}


@dataclass(frozen=True, slots=True)
class Methods:
    """All methods, in the order in which their first run was named, and what was left aside or looks odd."""

    methods: tuple[Method, ...]
    notes: tuple[str, ...]

    def named(self, name: str) -> Method:
        """The method of this name. Raises UserError."""
        for method in self.methods:
            if method.name == name:
                return method
        names = ", ".join(method.name for method in self.methods[:12])
        raise UserError(f"no method is called {name}; there are {names}")


def read_run(record: RunRecord) -> Run | None:
    """The run, None if it has no finished step yet.

    Raises:
        RunFolderError: its files cannot be read.
    """
    lines = record.read_metrics()
    if not any(line["step"] > 0 for line in lines):
        return None
    settings = settings_of(record)
    seed = settings.get(SEED, 0)
    if not isinstance(seed, int):
        raise RunFolderError(f"{record.path}: its seed is {seed!r}, not a whole number")
    return Run(record, seed, record.status.state, int(lines[-1]["step"]), lines, settings)


def group(records: Iterable[RunRecord], order: Sequence[str] = ()) -> Methods:
    """Runs of equal settings and equal names (a run's name less `-seed3`) make a method.

    order  names of methods that come first

    Raises:
        RunFolderError: a run folder cannot be read.
        UserError: no run has a finished step.
    """
    found: dict[tuple[str, str], dict[int, Run]] = {}
    notes, unstarted = [], 0
    for record in records:
        run = read_run(record)
        if run is None:
            unstarted += 1
            continue
        own = found.setdefault((stem(record.name, run.seed), _fingerprint(run.settings)), {})
        if run.seed in own:
            notes.append(f"{record.path} repeats {own[run.seed].record.path} (same settings, same seed): left out")
        else:
            own[run.seed] = run
    if unstarted:
        notes.append(
            f"{unstarted} run{'s have' if unstarted > 1 else ' has'} no finished step yet and {_is(unstarted)} left out"
        )
    if not found:
        raise UserError("none of these runs has a finished step; there is nothing to report yet")
    methods = _named(found)
    for method in methods:
        unfinished = sum(not run.finished for run in method.runs)
        if unfinished:
            notes.append(f"{method.name}: {unfinished} of {len(method.runs)} runs {_is(unfinished)} not finished")
    ranks = {name: rank for rank, name in enumerate(order)}
    methods.sort(key=lambda method: ranks.get(method.name, len(ranks)))
    return Methods(tuple(methods), tuple(notes))


def stem(name: str, seed: int) -> str:
    """A run's name less its seed: `steer-seed3` -> `steer`."""
    return re.sub(rf"[-_.](?:seed|s)[-_.]?{seed}$", "", name) or name


def _named(found: Mapping[tuple[str, str], Mapping[int, Run]]) -> list[Method]:
    """Methods whose settings differ under one name get a number."""
    count: dict[str, int] = {}
    methods = []
    for (name, _), by_seed in found.items():
        count[name] = count.get(name, 0) + 1
        label = name if count[name] == 1 else f"{name} ({count[name]})"
        methods.append(Method(label, tuple(by_seed[seed] for seed in sorted(by_seed))))
    return methods


def _fingerprint(settings: Mapping[str, Any]) -> str:
    kept = {path: value for path, value in settings.items() if path.partition(".")[0] not in ASIDE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _is(count: int) -> str:
    return "are" if count > 1 else "is"
