"""cells.csv and variants.csv: what a sweep found, per run and per variant, with intervals over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from statistics import stdev
from typing import Any, Literal

from steerctl.evaluation.intervals import Interval
from steerctl.evaluation.seeds import OverSeeds, over_seeds
from steerctl.store.atomic import write_text
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.jobs import RESULT, Standing
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.plan import Cell, baseline_of
from steerctl.sweep.results import asked_for, columns, result_of

At = Literal["last", "chosen"]
MOMENTS: tuple[At, ...] = ("last", "chosen")


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant and one metric over its finished seeds.

    at               last: at the end of the run; chosen: at the step that validation chose
    sd               over seeds, sample standard deviation
    low, high        95% interval of the mean, Student's t
    difference       to the baseline, mean over the seeds that both have; with its own 95% interval of pairs
    Empty where there are fewer than two seeds, and for the baseline itself.
    """

    variant: str
    metric: str
    at: At
    seeds: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    baseline: str
    pairs: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None


def write_summary(agenda: Agenda, folder: SweepFolder, standings: Mapping[str, Standing]) -> None:
    """Both files, whole. Raises StorageError."""
    standings = as_asked(agenda, folder, standings)
    rows = cell_rows(agenda, standings)
    write_text(folder.cells_csv, _csv(list(rows[0]), rows) if rows else "")
    names = [field.name for field in fields(VariantRow)]
    write_text(folder.variants_csv, _csv(names, [asdict(row) for row in variant_rows(agenda, standings)]))


def as_asked(agenda: Agenda, folder: SweepFolder, standings: Mapping[str, Standing]) -> dict[str, Standing]:
    """The standings with every finished cell's numbers as the sweep asks for them now.

    A cell that was finished when `last_steps`, `metrics` or `choose_by` were others is read again from its run folder;
    if that lies on another machine, its numbers are left out: they are not those the sweep speaks of.
    """
    return {
        job: _read_again(agenda.cells[job], each, folder, agenda) if job in agenda.cells else each
        for job, each in standings.items()
    }


def _read_again(cell: Cell, standing: Standing, folder: SweepFolder, agenda: Agenda) -> Standing:
    spec, said = agenda.sweep.spec, standing.says.get("cells", {}).get(cell.id)
    if standing.state != "finished" or standing.trial is None or said is None or said.get("asked") == asked_for(spec):
        return standing
    run = folder.record(cell)
    if run is None and "asked" not in said:
        return standing
    fresh = result_of(run, spec).as_json() if run is not None else {"last": {}, "chosen": {}, "chosen_step": None}
    now = {**said, **fresh, "value": fresh["last"].get(spec.metric), "asked": asked_for(spec)}
    trial = copy(standing.trial)
    trial.user_attrs = {**trial.user_attrs, RESULT: {"cells": {cell.id: now}}}
    return replace(standing, trial=trial)


def cell_rows(agenda: Agenda, standings: Mapping[str, Standing]) -> list[dict[str, Any]]:
    """One row per run, in the order of the sweep; what is not known is empty."""
    metrics, searched = columns(agenda.sweep.spec), agenda.sweep.spec.search
    rows = []
    for standing in standings.values():
        variant = agenda.cells[standing.job].variant if agenda.cells else standing.job
        seeds = [agenda.cells[standing.job].seed] if agenda.cells else agenda.sweep.spec.seeds
        for seed in seeds:
            said = standing.says.get("cells", {}).get(f"{variant}-seed{seed}", {})
            row: dict[str, Any] = {"cell": f"{variant}-seed{seed}", "variant": variant, "seed": seed}
            row |= {"state": standing.state, "attempts": standing.attempts, "steps": said.get("steps")}
            row |= {key: said.get("last", {}).get(key) for key in metrics}
            row |= {"chosen_step": said.get("chosen_step")}
            row |= {f"{key} at chosen_step": said.get("chosen", {}).get(key) for key in metrics}
            row |= {"tokens": said.get("tokens"), "seconds": said.get("seconds"), "reason": standing.reason}
            params = standing.says.get("params", {})
            rows.append(row | {key: params.get(key) for key in (searched.space if searched else ())})
    return rows


def variant_rows(agenda: Agenda, standings: Mapping[str, Standing]) -> list[VariantRow]:
    """One row per variant, metric and moment; variants without a finished seed are left out."""
    found = values(agenda, standings)
    rows = []
    for (variant, baseline), metric, at in product(_pairs(agenda, standings), columns(agenda.sweep.spec), MOMENTS):
        own = found.get((variant, metric, at), {})
        compared = {variant: own, baseline: found.get((baseline, metric, at), {})} if baseline else {variant: own}
        if own:
            one = over_seeds(compared, {variant: baseline or None})[variant]
            rows.append(_row((variant, metric, at), baseline, one, own))
    return rows


def best_trial(agenda: Agenda, standings: Mapping[str, Standing]) -> str:
    """Of a search: the best finished trial with what it chose, in one line; "" before one is finished."""
    spec = agenda.sweep.spec
    done = [each for each in standings.values() if each.state == "finished" and each.trial is not None]
    if spec.search is None or not done:
        return ""
    sign = -1.0 if spec.direction == "minimize" else 1.0
    found = [(each.trial.value or 0.0, each) for each in done if each.trial is not None]
    value, best = max(found, key=lambda each: sign * each[0])
    chosen = ", ".join(f"{key}={text}" for key, text in best.says.get("params", {}).items())
    return f"best of {len(done)}: {best.job}, {spec.metric} {value:.4f} with {chosen}"


def values(agenda: Agenda, standings: Mapping[str, Standing]) -> dict[tuple[str, str, At], dict[int, float]]:
    """(variant, metric, moment) -> seed -> value, of finished cells."""
    found: dict[tuple[str, str, At], dict[int, float]] = {}
    for standing in (each for each in standings.values() if each.state == "finished"):
        variant = agenda.cells[standing.job].variant if agenda.cells else standing.job
        for said, at in product(standing.says.get("cells", {}).values(), MOMENTS):
            for metric, value in said.get(at, {}).items():
                found.setdefault((variant, metric, at), {})[int(said["seed"])] = float(value)
    return found


def _pairs(agenda: Agenda, standings: Mapping[str, Standing]) -> list[tuple[str, str]]:
    """Each variant and its baseline ("" without one); the trials of a search are compared with nothing."""
    if agenda.sweep.spec.search is not None:
        return [(job, "") for job in standings]
    pairs = []
    for variant in agenda.variants:
        baseline = baseline_of(variant, agenda.variants, agenda.sweep)
        pairs.append((variant.name, baseline.name if baseline is not None else ""))
    return pairs


def _row(what: tuple[str, str, At], baseline: str, found: OverSeeds, own: Mapping[int, float]) -> VariantRow:
    paired = found.difference
    return VariantRow(
        *what, len(own), found.mean.value, stdev(own.values()) if len(own) > 1 else None, *_ends(found.mean), baseline,
        found.pairs, paired.value if paired else None, *_ends(paired),
    )  # fmt: skip


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval is not None else (None, None)


def _csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return text.getvalue()
