"""What the page's script draws: curves and points as compact JSON inside the page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steerctl.evaluation.seeds import OverSeeds
from steerctl.report.page.curves import Curve
from steerctl.report.page.findings import Number
from steerctl.report.page.report import Report
from steerctl.report.page.token_pages import TokenPage
from steerctl.report.tokens import visible

FEW = 7
"""So many methods are drawn at first."""


def page_data(report: Report, token_pages: Sequence[TokenPage]) -> dict[str, Any]:
    """Curves, points, names and token pages; numbers to four digits."""
    panels: list[dict[str, Any]] = [
        {"stretch": panel.stretch, "curves": [_curve(each) for each in panel.curves]} for panel in report.panels
    ]
    if report.compares and report.main and report.kept:
        panels.append(_points(report, report.main, report.kept))
    names = [method.name for method in report.methods.methods]
    return {
        "methods": [visible(name) for name in names],
        "shown": _first(report, names),
        "panels": panels,
        "pages": [each.html for each in token_pages],
    }


def _first(report: Report, names: Sequence[str]) -> list[int]:
    """What is drawn at first: everything if it is little, else the baselines, what nothing beats, and the first few."""
    if len(names) <= FEW:
        return list(range(len(names)))
    heads = [index for index, name in enumerate(names) if report.question.baselines.get(name) is None]
    front = [names.index(name) for name in report.front]
    return sorted(list(dict.fromkeys([*heads, *front, *range(len(names))]))[:FEW])


def _curve(curve: Curve) -> dict[str, Any]:
    found: dict[str, Any] = {"method": curve.method, "x": _numbers(curve.steps_T), "y": _numbers(curve.bands.mean_T)}
    if len(curve.runs_ST) > 1:
        found |= {"low": _numbers(curve.bands.low_T), "high": _numbers(curve.bands.high_T)}
        found["runs"] = [_numbers(run_T) for run_T in curve.runs_ST]
    return found


def _points(report: Report, up: Number, across: Number) -> dict[str, Any]:
    points = []
    for index, method in enumerate(report.methods.methods):
        one, other = across.found.get(method.name), up.found.get(method.name)
        if one is not None and other is not None:
            seeds = across.values[method.name].keys() & up.values[method.name].keys()
            pairs = [[across.values[method.name][seed], up.values[method.name][seed]] for seed in sorted(seeds)]
            points.append({
                "method": index, **_ends("x", one), **_ends("y", other), "seeds": [_numbers(pair) for pair in pairs],
            })  # fmt: skip
    return {"points": points, "up": up.title, "across": "entropy kept"}


def _ends(name: str, found: OverSeeds) -> Mapping[str, float | None]:
    value, low, high = _numbers([found.mean.value, found.mean.low, found.mean.high])
    return {name: value, f"{name}Low": low, f"{name}High": high}


def _numbers(values: Iterable[float | None]) -> list[float | int | None]:
    return [_short(value) for value in values]


def _short(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    found = float(f"{value:.4g}") if abs(value) < 10_000 else round(float(value), 1)
    return int(found) if found.is_integer() else found


def json_text(found: Mapping[str, Any]) -> str:
    """No `<` in it, so that nothing in it can end the element it stands in."""
    text = json.dumps(found, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
