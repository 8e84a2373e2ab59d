"""Numbers and names as text, the same on the page and in the tables."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from html import escape

from steerctl.evaluation.intervals import Interval
from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.page.findings import Number
from steerctl.report.tokens import visible

MINUS = "−"
DASH = "–"


def safe(text: object) -> str:
    """For HTML; what comes from a run may hold anything, and characters that hide or turn text are written out."""
    return escape(visible(str(text)), quote=True)


def decimals(values: Iterable[float]) -> int:
    """Enough for three digits of the largest of them."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest else 3


def number_places(number: Number) -> tuple[int, int]:
    """Decimals of a number's means, and of its differences."""
    found = number.found.values()
    return decimals(each.mean.value for each in found), difference_places(found)


def difference_places(found: Collection[OverSeeds]) -> int:
    """Decimals of differences: as many as means have, unless those are two powers of ten smaller."""
    means = decimals(each.mean.value for each in found)
    differences = [each.difference.value for each in found if each.difference is not None]
    finer = decimals(differences) if any(differences) else means
    return max(means, finer - 1)


def ends_of(found: OverSeeds) -> list[float]:
    """A difference and the ends of its interval, as far as they are known."""
    each = found.difference
    return [] if each is None else [end for end in (each.value, each.low, each.high) if end is not None]


def fixed(value: float | None, places: int, *, signed: bool = False) -> str:
    """`0.312`, `+0.031`, `−0.031`; a dash for None."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    return text.replace("-", MINUS)


def bounds(interval: Interval | None, places: int, *, signed: bool = False) -> str:
    """`[0.281, 0.343]`, empty without a width."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"[{fixed(interval.low, places, signed=signed)}, {fixed(interval.high, places, signed=signed)}]"


def p_text(value: float | None) -> str:
    """`0.012`, `<0.001`."""
    if value is None:
        return DASH
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def count(number: int, word: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def large(value: float | None) -> str:
    """`12,345`."""
    return DASH if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """`48 s`, `12.5 min`, `3.2 h`."""
    if seconds is None:
        return DASH
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def in_unit(unit: str) -> str:
    """` (nats)`; nothing for a plain number."""
    return f" ({unit})" if unit and unit != "1" else ""
