"""metrics.jsonl: one strict JSON object per step, appended; numbers that are not finite are null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerctl.errors import RunFolderError
from steerctl.store.atomic import append_line, write_text


def append_metrics(path: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Add the line of one step; finite numbers come back bit for bit."""
    finite = {key: value if math.isfinite(value) else None for key, value in metrics.items()}
    append_line(path, json.dumps({"step": step, **finite}, allow_nan=False))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """One dict per step, null as NaN; empty if there is no file. A last line that is still being written is left out.

    Raises:
        RunFolderError: a line in the middle is not a step's metrics.
    """
    return [_numbers(record) for record in _records(path)]


def keep_until(path: Path, step: int) -> None:
    """Drop the lines of later steps and a broken last line, all at once."""
    if path.exists():
        kept = [json.dumps(record, allow_nan=False) for record in _records(path) if record["step"] <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    records = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            records.append(_record(line))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise RunFolderError(
                f"{path}:{number}: this line is not a step's metrics; if it was edited, put it back, else delete it:"
                " the step is then missing from tables and curves, and the run can go on"
            ) from error
    return records


def _record(line: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    record["step"] = int(record["step"])
    if not all(value is None or type(value) in (int, float) for value in record.values()):
        raise TypeError("a metric is a number")
    return record


def _numbers(record: Mapping[str, Any]) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in record.items()}
