"""One `steerctl sweep`: from the command's arguments to a finished study, a look at its cells, or jobs on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steerctl.errors import SpecError
from steerctl.spec.checks import check_spec
from steerctl.spec.finding import Finding
from steerctl.spec.machine import Machine
from steerctl.store.atomic import write_text
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.fairness import check_fairness
from steerctl.sweep.jobs import Standing
from steerctl.sweep.load import load_sweep
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.plan import searched
from steerctl.sweep.progress import Display, Snapshot, snapshot_of
from steerctl.sweep.slots import Slots, share_out
from steerctl.sweep.study import Board
from steerctl.sweep.summary import VariantRow, as_asked, best_trial, variant_rows, write_summary
from steerctl.sweep.worker import Worker

Launcher = Literal["here", "slurm", "local"]


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What was asked for."""

    file: str
    overrides: tuple[str, ...] = ()
    workers: int | None = None
    retry_failed: bool = False
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """How it ended: every cell, the comparison so far, the signal that stopped it (None: nothing left to do).

    best  of a search, what it found
    """

    snapshot: Snapshot
    rows: Sequence[VariantRow]
    folder: Path
    stopped_by: int | None = None
    best: str = ""
    findings: Sequence[Finding] = field(default=())


def plan_sweep(file: str, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Agenda:
    """The sweep in full, of which the cells of these variants are to be run (none named: all). Raises SpecError."""
    return Agenda(load_sweep(file, overrides), only)


def check_sweep(agenda: Agenda, machine: Machine | None) -> list[Finding]:
    """What is wrong with any of its experiments, or with comparing them; what all of them share is said once."""
    found = [*check_fairness(agenda.sweep, agenda.variants), *_searchable(agenda)]
    by_text: dict[tuple[str, str, str], list[str]] = {}
    for variant in agenda.variants:
        for each in check_spec(variant.spec, machine):
            by_text.setdefault((each.level, each.path, each.text), []).append(variant.name)
    for (level, path, text), names in by_text.items():
        who = "all variants" if len(names) == len(agenda.variants) else ", ".join(names)
        found.append(Finding(level, path, f"{text} ({who})"))  # type: ignore[arg-type]  # as it came
    return found


def _searchable(agenda: Agenda) -> list[Finding]:
    """Settings of a search that fail alone, with either end of their range: no trial could run."""
    found, search = [], agenda.sweep.spec.search
    for key, each in search.space.items() if search is not None else ():
        said = [_refusal(agenda, key, value) for value in each.choices or (each.low, each.high)]
        if all(said):
            found.append(Finding("error", f"search.space.{key}", said[0].rpartition(f"{key}: ")[2]))
    return found


def _refusal(agenda: Agenda, key: str, value: object) -> str:
    """Why the base cannot be run with this setting, "" if it can."""
    try:
        searched(agenda.sweep, {key: value})
    except SpecError as error:
        return str(error).splitlines()[0]
    return ""


def open_sweep(agenda: Agenda) -> tuple[SweepFolder, Board]:
    """The sweep's folder and study, made if they are not there. Raises StorageError."""
    spec = agenda.sweep.spec
    folder = folder_of(agenda)
    folder.prepare()
    board = Board(
        spec.name, spec.storage, folder, direction=spec.direction, retries=spec.retries, stale=spec.stale_seconds
    )
    return folder, board


def folder_of(agenda: Agenda) -> SweepFolder:
    """Where the sweep lies."""
    return SweepFolder(Path(agenda.sweep.spec.output) / agenda.sweep.spec.name)


def look_at(agenda: Agenda, workers: int | None = None) -> Snapshot:
    """How the sweep stands, without starting or changing anything, on whichever machine it will run.

    Raises:
        SpecError: a cell has begun with other settings.
    """
    folder, standings = folder_of(agenda), {job.id: Standing(job.id, "waiting", None, 0) for job in agenda.jobs}
    if folder.study.is_file() or agenda.sweep.spec.storage is not None:
        _, board = open_sweep(agenda)
        board.check(agenda.wanted)
        standings = as_asked(agenda, folder, board.standings(agenda.jobs))
    try:
        count = len(places(agenda, workers).devices)
    except SpecError:
        count = workers or 1  # this machine lacks the GPUs; the one that runs it will have them
    return snapshot_of(agenda, agenda.asked(standings), count)


def places(agenda: Agenda, workers: int | None) -> Slots:
    """The places for cells on this machine."""
    return share_out(agenda.example(), Machine.here(), workers)


def run_sweep(request: SweepRequest, agenda: Agenda, display: Callable[[], Display]) -> SweepOutcome:
    """Be a worker until all is done. Raises SpecError before anything is started if an experiment cannot run."""
    findings = check_sweep(agenda, Machine.here())
    errors = [each for each in findings if each.level == "error"]
    if errors:
        raise SpecError("\n".join(f"{agenda.sweep.path}: {each.path}: {each.text}" for each in errors))
    slots = places(agenda, request.workers)
    folder, board = open_sweep(agenda)
    _describe(agenda, folder)
    badge, shown = folder.badge(), display()
    try:
        for note in [*(f"{each.level}: {each.path}: {each.text}" for each in findings), slots.note]:
            if note:
                shown.note(note)
        worker = Worker(agenda, folder, board, slots=slots, badge=badge, display=shown)
        standings = as_asked(agenda, folder, worker.run(retry_failed=request.retry_failed))
        write_summary(agenda, folder, standings)
    finally:
        shown.close()
        badge.sign_out()
    snapshot = snapshot_of(agenda, agenda.asked(standings), len(slots.devices))
    rows = [row for row in variant_rows(agenda, standings) if not agenda.only or row.variant in agenda.only]
    best = best_trial(agenda, standings)
    return SweepOutcome(snapshot, rows, folder.path, worker.stopped_by, best, findings)


def _describe(agenda: Agenda, folder: SweepFolder) -> None:
    """What the folder is about, for later readers; the storage's address may hold a password and is left out."""
    spec = agenda.sweep.spec.model_dump(mode="json", exclude={"storage"})
    found = {**spec, "file": str(agenda.sweep.path), "overrides": list(agenda.sweep.experiment_overrides)}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    if not folder.sweep_json.is_file() or folder.sweep_json.read_text(encoding="utf-8") != text:
        write_text(folder.sweep_json, text)
