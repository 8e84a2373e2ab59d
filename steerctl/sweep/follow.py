"""A growing metrics.jsonl, read as it grows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from steerctl.store.record import METRICS
from steerctl.sweep.results import STEP_SECONDS


class Follower:
    """Reads what has been added since it last looked; starts again where the file has become shorter (a resumed run).

    step     the last finished step
    seconds  time of the steps it has seen
    """

    def __init__(self, run: Path) -> None:
        self._path = run / METRICS
        self._offset = self._size()
        self.step = 0
        self.seconds = 0.0

    def news(self) -> list[dict[str, float]]:
        """The whole lines that are new; numbers that are not finite are NaN."""
        size = self._size()
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        lines = [line for text in whole.splitlines() if (line := _numbers(text)) is not None]
        for line in lines:
            self.step = int(line["step"])
            self.seconds += line.get(STEP_SECONDS, 0.0)
        return lines

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def _numbers(text: bytes) -> dict[str, float] | None:
    """A step's metrics; None for a line that was cut, which the run itself mends when it resumes."""
    try:
        record: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    if not isinstance(record, dict) or "step" not in record:
        return None
    return {key: math.nan if value is None else float(value) for key, value in record.items()}
