"""What `steerctl report` is given: run folders, folders of runs, sweeps; and what a sweep says of itself."""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steerctl.errors import RunFolderError, UserError
from steerctl.report.page.contrasts import Contrast
from steerctl.report.page.methods import Methods, group
from steerctl.report.page.report import Asked
from steerctl.store.record import RunRecord, find_runs, is_run_folder, resolve
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.spec import SweepSpec

PAGE = "report.html"
RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Gathered:
    """The methods, and what is asked of them."""

    methods: Methods
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Sweep:
    """A sweep's question, and what its variants are compared with, in its order."""

    spec: SweepSpec
    baselines: dict[str, str]


def gather(paths: Sequence[Path], *, baseline: str | None, metric: str | None, last: int | None) -> Gathered:
    """Find the run folders and group them; the first sweep among the arguments says what is compared.

    Raises:
        RunFolderError: a path is neither a run nor a sweep nor a folder of runs.
        UserError: no run has a finished step, or none has the metric.
    """
    records = {record.path.resolve(): record for path in paths for record in _records(path)}
    found = {path: sweep for path in paths if (sweep := _sweep(path)) is not None}
    sweeps = list(found.values())
    order = [name for sweep in sweeps for name in sweep.baselines]
    asked = _asked(sweeps[0], sweeps) if sweeps else Asked()
    asked = replace(asked, baseline=baseline, metric=metric or asked.metric, last_steps=last or asked.last_steps)
    if asked.title is None and len(paths) == 1 and not is_run_folder(resolve(paths[0])):
        asked = replace(asked, title=paths[0].resolve().name)
    methods = group(records.values(), order)
    if metric is not None:
        _measured(metric, methods)
    notes = [note for path, sweep in found.items() if (note := _open_cells(path, sweep.spec, methods))]
    return Gathered(replace(methods, notes=(*notes, *methods.notes)), asked)


def _measured(metric: str, methods: Methods) -> None:
    """Raises UserError unless a run has the metric."""
    there = {key for method in methods.methods for run in method.runs for line in run.lines for key in line}
    if metric not in there:
        near = difflib.get_close_matches(metric, there, n=1)
        raise UserError(f"--metric {metric}: no run has it{f'; did you mean {near[0]}?' if near else ''}")


def _open_cells(path: Path, spec: SweepSpec, methods: Methods) -> str:
    """How much of a sweep is there, "" where all of it is, or where nobody knows how much it is (a search)."""
    wanted = math.prod(axis.size for axis in spec.axes) * len(spec.seeds) if spec.search is None else 0
    runs = (path / RUNS).resolve()
    own = [run for method in methods.methods for run in method.runs if runs in run.record.path.resolve().parents]
    done = sum(run.finished for run in own)
    return (
        f"{spec.name}: {done} of {wanted} cells are finished; the rest may change what is found"
        if done < wanted
        else ""
    )


def out_path(paths: Sequence[Path]) -> Path:
    """Where the page goes if nobody says: into the one folder that was given, else the current one."""
    return resolve(paths[0]) / PAGE if len(paths) == 1 else Path(PAGE)


def _records(path: Path) -> list[RunRecord]:
    place = resolve(path)
    if is_run_folder(place):
        return [RunRecord(place)]
    folder = place / RUNS if SweepFolder(place).sweep_json.is_file() else place
    found = [RunRecord(each) for each in find_runs(folder)]
    if not found:
        what = "holds no run folders" if folder.is_dir() else "does not exist"
        raise RunFolderError(f"{folder} {what}; name run folders, a folder of runs, or the folder of a sweep")
    return found


def _sweep(path: Path) -> _Sweep | None:
    folder = SweepFolder(path)
    if not folder.sweep_json.is_file():
        return None
    try:
        said: dict[str, Any] = json.loads(folder.sweep_json.read_text(encoding="utf-8"))
        spec = SweepSpec(**{key: value for key, value in said.items() if key in SweepSpec.model_fields})
    except (OSError, ValueError, TypeError, ValidationError) as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise RunFolderError(
            f"{folder.sweep_json}: not a sweep's description ({reason}); start the sweep again"
        ) from error
    return _Sweep(spec, _listed(spec) | _reckoned(folder))


def _listed(spec: SweepSpec) -> dict[str, str]:
    """What the variants of a single axis are compared with, as the file says it."""
    variants = spec.axes[0].variants if len(spec.axes) == 1 else None
    if not variants:
        return {}
    default = spec.baseline or variants[0].name
    wanted = {each.name: each.baseline or default for each in variants}
    return {name: other if other != name else "" for name, other in wanted.items()}


def _reckoned(folder: SweepFolder) -> dict[str, str]:
    """The same of every variant that has a finished run, as the sweep wrote it down."""
    rows: list[dict[str, str]] = []
    if folder.variants_csv.is_file():
        with folder.variants_csv.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    return {row["variant"]: row.get("baseline") or "" for row in rows if row.get("variant")}


def _asked(first: _Sweep, sweeps: Sequence[_Sweep]) -> Asked:
    spec = first.spec
    return Asked(
        title=" and ".join(sweep.spec.name for sweep in sweeps),
        metric=spec.metric,
        direction=spec.direction,
        more=tuple(spec.metrics),
        baselines={name: other for sweep in sweeps for name, other in sweep.baselines.items() if other},
        last_steps=spec.last_steps,
        choose_by=spec.choose_by,
        alone=spec.search is not None,
        contrasts=tuple(
            Contrast(each.says, each.variant, each.baseline, each.metric or sweep.spec.metric)
            for sweep in sweeps
            for each in sweep.spec.contrasts
        ),
    )
