"""Numbers on a terminal: a course in blocks, a duration, a value that may not be finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
TREND = 16
"""Cells of a trend line."""


def sparkline(values: Sequence[float], cells: int = TREND) -> str:
    """The course of `values` in at most `cells` blocks, from their least to their greatest; gaps where not finite.

    Longer series are cut into `cells` stretches and each shows its mean.
    """
    if len(values) > cells:
        edges = [round(index * len(values) / cells) for index in range(cells + 1)]
        values = [_mean(values[start:end]) for start, end in pairwise(edges)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low, span = min(finite), max(finite) - min(finite)
    return "".join(_block((value - low) / span if span else 0.5) for value in values)


def clock(seconds: float) -> str:
    """1:05, or 2:03:04."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def write(form: str, value: float) -> str:
    """The number in its form, a dash where it is not finite."""
    return form.format(value) if math.isfinite(value) else "-"


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _block(height: float) -> str:
    return BLOCKS[round(height * (len(BLOCKS) - 1))] if math.isfinite(height) else " "
