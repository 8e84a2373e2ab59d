"""Which of many runs: by state, settings and method; and in which order."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from steerctl.errors import UserError
from steerctl.report.compare import settings_of
from steerctl.report.page.methods import SEED, stem
from steerctl.report.page.settings import KIND, written
from steerctl.store.record import RunRecord, State

FACTS = ("name", "state", "step", "created")
"""What runs can be sorted by besides the metrics of their last step."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Runs that meet all of it; what is None or empty asks for nothing.

    where    `optim.lr=1e-6`: a setting of the resolved experiment; text may hold `*`
    method   a run's name less its seed; where no run has that name, the kind of anything in its algorithm
    sort     one of FACTS or a metric's key, `-` before it for the largest first; runs without it come last
    """

    where: tuple[str, ...] = ()
    state: State | None = None
    method: str | None = None
    sort: str | None = None


def select(records: Sequence[RunRecord], wanted: Wanted) -> list[RunRecord]:
    """The runs asked for, in the order asked for.

    Raises:
        UserError: a condition is not KEY=VALUE, or no run has a setting or metric of this name.
        RunFolderError: a run folder cannot be read.
    """
    kept = [each for each in records if wanted.state is None or each.status.state == wanted.state]
    if wanted.where or wanted.method is not None:
        settings = {each.path: settings_of(each) for each in kept}
        for condition in wanted.where:
            kept = _where(kept, settings, condition)
        if wanted.method is not None:
            kept = _of_method(kept, settings, wanted.method)
    return _sorted(kept, wanted.sort) if wanted.sort is not None else kept


def _where(records: list[RunRecord], settings: dict[Any, dict[str, Any]], condition: str) -> list[RunRecord]:
    key, equals, value = condition.partition("=")
    if not equals or not key:
        raise UserError(f"--where {condition}: write it as KEY=VALUE, such as optim.lr=1e-6")
    known = {path for each in records for path in settings[each.path]}
    path = key if key in known or f"{key}{KIND}" not in known else f"{key}{KIND}"
    if records and path not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"--where {condition}: no run has a setting {key}{hint}")
    return [each for each in records if path in settings[each.path] and _equals(settings[each.path][path], value)]


def _equals(setting: object, value: str) -> bool:
    if isinstance(setting, int | float) and not isinstance(setting, bool):
        try:
            return math.isclose(setting, float(value), rel_tol=1e-9)
        except ValueError:
            return False
    return fnmatchcase(written(setting), value)


def _of_method(records: list[RunRecord], settings: dict[Any, dict[str, Any]], method: str) -> list[RunRecord]:
    """Those of the name; where no run has it, those with the kind: nearly every run has the advantage `grpo`."""
    named = [each for each in records if stem(each.name, settings[each.path].get(SEED, 0)) == method]
    return named or [each for each in records if method in _kinds(settings[each.path])]


def _kinds(settings: dict[str, Any]) -> list[Any]:
    return [value for path, value in settings.items() if path.startswith("algorithm.") and path.endswith(KIND)]


def _sorted(records: list[RunRecord], sort: str) -> list[RunRecord]:
    key = sort.removeprefix("-")
    found = [(_value(each, key), each) for each in records]
    having = [(value, each) for value, each in found if value is not None]
    if records and not having:
        near = difflib.get_close_matches(key, [*FACTS, *_metrics(records)], 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(FACTS)} and the keys of metrics"
        raise UserError(f"--sort {sort}: no run has {key}{hint}")
    having.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [each for _, each in having] + [each for value, each in found if value is None]


def _value(record: RunRecord, key: str) -> Any:  # noqa: ANN401 (text or a number, the same for all)
    if key == "name":
        return record.name
    if key == "created":
        return record.environment.get("created")
    if key in FACTS:
        return getattr(record.status, key)
    values = [line[key] for line in record.read_metrics()[-1:] if math.isfinite(line.get(key, math.nan))]
    return values[0] if values else None


def _metrics(records: Sequence[RunRecord]) -> list[str]:
    return sorted({key for each in records for line in each.read_metrics()[-1:] for key in line})
