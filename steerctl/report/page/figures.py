"""The report's pictures as SVG files: every panel of curves with its bands, and accuracy against entropy kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from steerctl.report.canvas import COLOURS, MARKERS, drawing
from steerctl.report.page.curves import Panel
from steerctl.report.page.report import Report
from steerctl.store.atomic import storage_errors

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (10, 2)))
CROWD = 5
"""From so many methods on, bands are fainter."""


def write_figures(report: Report, folder: Path) -> list[Path]:
    """One SVG per panel, named after its metric, and pareto.svg; the folder is made if it is not there.

    Raises:
        StorageError: the folder or a file cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = []
    names = [method.name for method in report.methods.methods]
    height = 3.4 + 0.2 * -(-len(names) // 3)
    for panel in report.panels:
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', panel.key).strip('-')}.svg"
        with drawing(path, width=7.0, height=height) as figure:
            axes = figure.subplots()
            _curves(axes, panel, names)
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8, handlelength=3.2
            )
        found.append(path)
    if report.compares and report.main is not None and report.kept is not None:
        found.append(folder / "pareto.svg")
        with drawing(found[-1], width=7.0, height=4.6 + 0.2 * -(-len(names) // 3)) as figure:
            axes = figure.subplots()
            _pareto(axes, report, names)
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    return found


def _curves(axes: Axes, panel: Panel, names: list[str]) -> None:
    alpha = 0.05 if len(panel.curves) >= CROWD else 0.12
    for curve in panel.curves:
        colour = COLOURS[curve.method % len(COLOURS)]
        if len(curve.runs_ST) > 1:
            axes.fill_between(
                curve.steps_T, curve.bands.low_T, curve.bands.high_T, color=colour, alpha=alpha, linewidth=0
            )
    limits = axes.get_ylim() if any(len(curve.runs_ST) > 1 for curve in panel.curves) else None
    for curve in panel.curves:
        style: dict[str, Any] = {
            "color": COLOURS[curve.method % len(COLOURS)],
            "linestyle": DASHES[curve.method % len(DASHES)],
        }
        axes.plot(curve.steps_T, curve.bands.mean_T, label=_plain(names[curve.method]), linewidth=1.6, **style)
    if limits is not None:
        means = [value for curve in panel.curves for value in curve.bands.mean_T.tolist()]
        room = (max(means) - min(means)) or abs(max(means)) or 1.0
        axes.set_ylim(max(limits[0], min(means) - room / 2), min(limits[1], max(means) + room / 2))
    axes.set_xlabel("step" if panel.stretch == 1 else f"step (means of {panel.stretch})")
    axes.set_ylabel(panel.title + (f" ({panel.unit})" if panel.unit not in {"", "1"} else ""))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.01)


def _pareto(axes: Axes, report: Report, names: list[str]) -> None:
    up, across = report.main, report.kept
    if up is None or across is None:
        return
    for index, name in enumerate(names):
        if name not in up.found or name not in across.found:
            continue
        one, other = across.found[name].mean, up.found[name].mean
        axes.errorbar(
            one.value,
            other.value,
            xerr=_half(one.value, one.high),
            yerr=_half(other.value, other.high),
            label=_plain(name),
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=6,
            elinewidth=1,
        )
    axes.set_xlabel("entropy kept (share of the first step's)")
    axes.set_ylabel(up.title)


def _half(value: float, high: float | None) -> float | None:
    return None if high is None else high - value


def _plain(name: str) -> str:
    """A name that matplotlib shows as it is: no formula, and no place in the legend lost to a leading underscore."""
    return (f" {name}" if name.startswith("_") else name).replace("$", r"\$")
