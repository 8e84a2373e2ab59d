"""What one run comes to, from its lines of metrics: at its end, and at the step that validation chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Lines = Sequence[Mapping[str, float]]
Direction = Literal["maximize", "minimize"]


def last_value(lines: Lines, key: str, last_steps: int) -> float | None:
    """The mean of a metric over the last steps of a run, over those of them that have it; None if none has."""
    end = max((line["step"] for line in lines), default=0)
    values = [line[key] for line in lines if line["step"] > end - last_steps and _has(line, key)]
    return math.fsum(values) / len(values) if values else None


def value_at(lines: Lines, key: str, step: int) -> float | None:
    """A metric at one step, None where it was not measured."""
    return next((line[key] for line in lines if line["step"] == step and _has(line, key)), None)


def chosen_step(lines: Lines, key: str, direction: Direction = "maximize") -> int | None:
    """The step at which a metric was best, the earliest if several; step 0, before training, does not count."""
    sign = -1.0 if direction == "minimize" else 1.0
    found = [line for line in lines if line["step"] > 0 and _has(line, key)]
    best = max(found, key=lambda line: (sign * line[key], -line["step"]), default=None)
    return int(best["step"]) if best is not None else None


def _has(line: Mapping[str, float], key: str) -> bool:
    return math.isfinite(line.get(key, math.nan))
