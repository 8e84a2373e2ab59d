"""Runs side by side: what each reached, what it cost, and in which settings they differ."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from steerctl.errors import RunFolderError
from steerctl.store.record import RunRecord

Format = Literal["table", "markdown", "csv", "json"]
Lines = Sequence[Mapping[str, float]]

WINDOW = 5
"""Steps at either end over which reward and accuracy are averaged."""
WIDE = 5
"""More runs than this are shown one per row instead of one per column, and only the `BRIEF` quantities."""
BRIEF = (
    "steps",
    "reward_last",
    "entropy_before",
    "entropy_after",
    "clip_high",
    "clip_low",
    "validation_last",
    "seconds",
)
IGNORED = ("name", "output", "log", "checkpoint")
"""Settings that do not change what is learned."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A row of the comparison: its key in CSV and JSON, its label, how it is read off the metrics and written."""

    key: str
    label: str
    form: str
    read: Callable[[Lines], float | None]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in the comparison; `values` by `Quantity.key`, None where the run did not measure it."""

    name: str
    path: Path
    state: str
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs, and the settings in which they differ: path -> one value per run."""

    runs: tuple[RunSummary, ...]
    differences: Mapping[str, tuple[Any, ...]]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Those that at least one run has."""
        return tuple(item for item in QUANTITIES if any(run.values[item.key] is not None for run in self.runs))


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Read every run.

    Raises:
        RunFolderError: a run folder cannot be read, or has no finished step.
    """
    specs = [settings_of(record) for record in records]
    paths = {path: None for spec in specs for path in spec}  # a set that keeps its order
    rows = {path: tuple(spec.get(path) for spec in specs) for path in paths}
    differences = {path: row for path, row in rows.items() if any(value != row[0] for value in row)}
    return Comparison(tuple(summarise(record) for record in records), differences)


def _folded(differences: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """A plug-in that some runs do not have is one difference, its kind, instead of one per setting."""
    absent = {path.removesuffix(".kind") for path, row in differences.items() if path.endswith(".kind") and None in row}
    found: dict[str, tuple[Any, ...]] = {}
    for path, row in differences.items():
        parent = next((prefix for prefix in absent if path.startswith(f"{prefix}.")), None)
        if parent is None:
            found[path] = row
        elif path == f"{parent}.kind":
            found[parent] = row
    return found


def has_steps(record: RunRecord) -> bool:
    """Whether it has a finished step; the line of step 0 holds the validation before training, and nothing else."""
    return any(line["step"] > 0 for line in record.read_metrics())


def summarise(record: RunRecord) -> RunSummary:
    """One run's quantities; RunFolderError if it has no finished step."""
    lines = record.read_metrics()
    if not has_steps(record):
        raise RunFolderError(f"{record.path} has no finished step yet; nothing to compare")
    values = {item.key: item.read(lines) for item in QUANTITIES}
    return RunSummary(record.name, record.path, record.status.state, values)


def render(comparison: Comparison, form: Format) -> str | Table:
    """The comparison as text, or as a rich table for a terminal."""
    if form == "json":
        return _json(comparison)
    if form == "csv":
        return _csv(comparison)
    return _markdown(comparison) if form == "markdown" else _table(comparison)


def footnotes(comparison: Comparison) -> list[str]:
    """How to read the table, where the runs lie, in which settings they differ."""
    notes = [
        f"first, last: means over the {WINDOW} steps at either end (validation: the one measurement)",
        "entropy in nats per token; time is the sum over the steps, start-up left out",
    ]
    notes += [f"{run.name}: {run.path} ({run.state})" for run in comparison.runs]
    for path, row in _folded(comparison.differences).items():
        notes.append(f"differs: {path}: " + " | ".join(_short(value) for value in row))
    return notes


def _end(key: str, part: slice) -> Callable[[Lines], float | None]:
    return lambda lines: _mean([line[key] for line in [line for line in lines if key in line][part]])


def _at(key: str, index: int) -> Callable[[Lines], float | None]:
    def read(lines: Lines) -> float | None:
        found = [line[key] for line in lines if key in line]
        return found[index] if found else None

    return read


def _sum(key: str) -> Callable[[Lines], float | None]:
    def read(lines: Lines) -> float | None:
        found = [line[key] for line in lines if key in line]
        return math.fsum(found) if found else None

    return read


def _kept(lines: Lines) -> float | None:
    before, after = _at("policy/entropy/mean", 0)(lines), _entropy_end(lines)
    return after / before if before and after is not None else None


def _entropy_end(lines: Lines) -> float | None:
    after = _at("policy/entropy_after/mean", -1)(lines)
    return after if after is not None else _at("policy/entropy/mean", -1)(lines)


FIRST, LAST, ALL = slice(0, WINDOW), slice(-WINDOW, None), slice(None)
QUANTITIES = (
    Quantity("steps", "steps", "{:.0f}", _at("step", -1)),
    Quantity("reward_first", "reward, first", "{:.3f}", _end("reward/mean", FIRST)),
    Quantity("reward_last", "reward, last", "{:.3f}", _end("reward/mean", LAST)),
    Quantity("accuracy_first", "accuracy, first", "{:.3f}", _end("accuracy/mean", FIRST)),
    Quantity("accuracy_last", "accuracy, last", "{:.3f}", _end("accuracy/mean", LAST)),
    Quantity("entropy_before", "entropy before first step", "{:.3f}", _at("policy/entropy/mean", 0)),
    Quantity("entropy_after", "entropy after last step", "{:.3f}", _entropy_end),
    Quantity("entropy_kept", "entropy kept", "{:.0%}", _kept),
    Quantity("clip_high", "tokens clipped above", "{:.2%}", _end("clip/high/fraction", ALL)),
    Quantity("clip_low", "tokens clipped below", "{:.2%}", _end("clip/low/fraction", ALL)),
    Quantity("weight", "weight, mean", "{:.3f}", _end("weight/mean", ALL)),
    Quantity("validation_first", "validation, first", "{:.3f}", _at("validation/accuracy/mean", 0)),
    Quantity("validation_last", "validation, last", "{:.3f}", _at("validation/accuracy/mean", -1)),
    Quantity("seconds", "time, seconds", "{:.0f}", _sum("time/step/seconds")),
)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def settings_of(record: RunRecord) -> dict[str, Any]:
    """The resolved spec less name, places and logging, one entry per leaf, `a.b.0.c` as on the command line.

    Raises:
        RunFolderError: it cannot be read.
    """
    found: dict[str, Any] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and value:
            for index, inner in enumerate(value):
                walk(inner, f"{path}.{index}")
        elif not isinstance(value, list) and path.partition(".")[0] not in IGNORED:
            found[path] = value

    try:
        walk(json.loads(record.spec_json), "")
    except ValueError as error:
        raise RunFolderError(f"{record.path}: its spec is not JSON ({error})") from error
    return found


def _written(item: Quantity, run: RunSummary) -> str:
    value = run.values[item.key]
    return item.form.format(value) if value is not None and math.isfinite(value) else "-"


def _table(comparison: Comparison) -> Table:
    runs, quantities = comparison.runs, comparison.quantities
    table = Table(box=None, pad_edge=False, header_style="bold")
    if len(runs) > WIDE:
        table.add_column("run", overflow="fold")
        brief = [item for item in quantities if item.key in BRIEF]
        for item in brief:
            table.add_column(item.key.replace("_", "\n"), justify="right", no_wrap=True)
        for run in runs:
            table.add_row(Text(run.name), *(_written(item, run) for item in brief))
        return table
    table.add_column("")
    for run in runs:
        table.add_column(Text(run.name), justify="right", overflow="fold")
    for item in quantities:
        table.add_row(item.label, *(_written(item, run) for run in runs))
    return table


def _markdown(comparison: Comparison) -> str:
    runs = comparison.runs
    lines = ["| | " + " | ".join(run.name for run in runs) + " |", "|---|" + "---:|" * len(runs)]
    lines += [f"| {q.label} | " + " | ".join(_written(q, run) for run in runs) + " |" for q in comparison.quantities]
    return "\n".join([*lines, "", *(f"- {note}" for note in footnotes(comparison))])


def _csv(comparison: Comparison) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "path", "state", *(item.key for item in QUANTITIES)])
    for run in comparison.runs:
        writer.writerow([run.name, run.path, run.state, *(run.values[item.key] for item in QUANTITIES)])
    return out.getvalue().rstrip("\n")


def _json(comparison: Comparison) -> str:
    runs = [
        {"name": run.name, "path": str(run.path), "state": run.state, **{k: _finite(v) for k, v in run.values.items()}}
        for run in comparison.runs
    ]
    differences = {path: list(row) for path, row in comparison.differences.items()}
    return json.dumps({"runs": runs, "differences": differences}, indent=1, allow_nan=False)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(value: object) -> str:
    return "-" if value is None else str(value)
