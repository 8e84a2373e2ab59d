"""Figures of the entropy laboratory: predicted against measured change, agreement over a setting, shares of the parts.

They take plain numbers, so that a run, an experiment and a test draw alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from steerctl.report.axis import SignedAxis
from steerctl.report.canvas import COLOURS, INK, PAPER, SHADES, drawing, note, series_style

COLUMNS = 3
DODGE = 0.012
"""By how much of the axis' width series are set apart, so that their intervals do not cover each other."""
HATCHES: Final = ("", "////", "....", "xxxx")
_DENSITY = LinearSegmentedColormap.from_list("density", SHADES)

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScatterPanel:
    """One prediction: [N] against [N], nats, and a few numbers to write into the panel."""

    title: str
    predicted_N: ArrayLike
    measured_N: ArrayLike
    note: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval at one setting, for example a learning rate; equal bounds for none."""

    x: float
    value: float
    low: float
    high: float


def draw_scatter(panels: Sequence[ScatterPanel], *paths: Path, measured: str = "measured change (nats)") -> None:
    """Density of predicted against measured change, one panel each, in one scale for both axes of all panels.

    Both axes are linear near 0 and logarithmic beyond, so that the many small changes and the few large ones can be
    seen; the dashed line is perfect agreement. Predictions are in nats: multiply those per unit step first.

    Raises:
        ValueError: no panels.
        UserError: a name ends in neither .svg nor .png.
    """
    if not panels:
        raise ValueError("a figure without panels")
    pairs = [(np.asarray(p.predicted_N, np.float64), np.asarray(p.measured_N, np.float64)) for p in panels]
    scale = SignedAxis.of(np.concatenate([values for pair in pairs for values in pair]))
    counts = [np.histogram2d(*pair, bins=(scale.edges(), scale.edges()))[0].T for pair in pairs]
    norm = LogNorm(1, max(2.0, *(float(count.max()) for count in counts)))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with drawing(*paths, width=0.9 + 3.1 * columns, height=0.5 + 3.1 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for index, (axes, panel, count) in enumerate(zip(grid.flat, panels, counts, strict=False)):
            mesh = _density(axes, count, scale, norm)
            axes.set_title(panel.title, fontsize=10)
            note(axes, panel.note)
            if index % columns == 0:
                axes.set_ylabel(measured)
            if index + columns >= len(panels):
                axes.set_xlabel("predicted change (nats)")
                axes.tick_params(labelbottom=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        bar = figure.colorbar(mesh, ax=list(grid.flat), shrink=0.8, pad=0.015)
        bar.set_label("tokens in a cell")


def _density(axes: Axes, counts: Vector, scale: SignedAxis, norm: LogNorm) -> QuadMesh:
    edges, ends = scale.edges(), scale.edges()[[0, -1]]
    scale.along(axes, "x", "y")
    filled = np.where(counts > 0, counts, np.nan)
    mesh = axes.pcolormesh(edges, edges, filled, cmap=_DENSITY, norm=norm, rasterized=True)
    axes.plot(ends, ends, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    axes.set_axisbelow(True)
    axes.set(xlim=ends, ylim=ends, box_aspect=1)
    return mesh


def draw_lines(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    *paths: Path,
    setting: str,
    logarithmic: bool = True,
    level: float | None = None,
) -> None:
    """One panel per measure (its name is the axis' label), one line with intervals per series, over one setting.

    setting      the horizontal axis' label, with its unit
    logarithmic  whether the setting spans decades
    level        a horizontal line to compare with

    Raises:
        ValueError: no panels.
        UserError: a name ends in neither .svg nor .png.
    """
    if not panels:
        raise ValueError("a figure without panels")
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with drawing(*paths, width=0.6 + 3.4 * columns, height=0.7 + 2.9 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (label, series) in zip(grid.flat[: len(panels)], panels.items(), strict=True):
            if logarithmic:
                axes.set_xscale("log")
            _lines(axes, series, names, logarithmic=logarithmic)
            axes.set(xlabel=setting, ylabel=label)
            if level is not None:
                axes.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        _legend(figure, columns)


def _lines(axes: Axes, series: Mapping[str, Sequence[Point]], names: Sequence[str], *, logarithmic: bool) -> None:
    places = [point.x for points in series.values() for point in points]
    if not places:
        return
    span = math.log(max(places) / min(places)) if logarithmic else max(places) - min(places)
    for name, points in series.items():
        index = names.index(name)
        shift = DODGE * (index - (len(names) - 1) / 2) * span
        xs = [point.x * math.exp(shift) if logarithmic else point.x + shift for point in points]
        reach = [[point.value - point.low for point in points], [point.high - point.value for point in points]]
        style: dict[str, Any] = {"linewidth": 1.5, "elinewidth": 1.1, "capsize": 2.0, **series_style(index)}
        axes.errorbar(xs, [point.value for point in points], yerr=reach, label=name, **style)


def _legend(figure: Figure, columns: int) -> None:
    found = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    if found:
        figure.legend(
            list(found.values()), list(found), loc="outside upper left", ncols=max(2, 2 * columns), frameon=False
        )


def draw_shares(panels: Mapping[str, Mapping[str, Mapping[str, float]]], *paths: Path, setting: str) -> None:
    """Stacked bars: for each setting, the share of every part; one panel per title, for example per optimiser.

    panels   title -> setting -> part -> share, 0 to 1; the shares of a bar should sum to 1
    setting  the vertical axis' label, with its unit

    Raises:
        ValueError: no panels, or a share outside 0 to 1.
        UserError: a name ends in neither .svg nor .png.
    """
    bars = [shares for panel in panels.values() for shares in panel.values()]
    if not bars:
        raise ValueError("a figure without bars")
    if any(not 0 <= share <= 1 for shares in bars for share in shares.values()):
        raise ValueError("a share lies outside 0 to 1; shares that may be negative cannot be stacked")
    parts = list(dict.fromkeys(part for shares in bars for part in shares))
    most = max(len(panel) for panel in panels.values())
    with drawing(*paths, width=1.2 + 4.2 * len(panels), height=1.4 + 0.42 * most) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=False)
        for axes, (title, panel) in zip(grid.flat, panels.items(), strict=True):
            _bars(axes, panel, parts)
            axes.set_title(title, fontsize=10)
            axes.set(xlabel="share of all movement, Σ|part| (%)", ylabel=setting, xlim=(0, 100))
            axes.grid(visible=False)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(parts), frameon=False)


def _bars(axes: Axes, panel: Mapping[str, Mapping[str, float]], parts: Sequence[str]) -> None:
    places = np.arange(len(panel))
    start = np.zeros(len(panel))
    for index, part in enumerate(parts):
        widths = 100 * np.array([shares.get(part, 0.0) for shares in panel.values()])
        axes.barh(
            places, widths, 0.72, left=start, label=part, color=COLOURS[index % len(COLOURS)],
            hatch=HATCHES[index % len(HATCHES)], edgecolor=PAPER, linewidth=0.8,
        )  # fmt: skip
        for place, width, left in zip(places, widths, start, strict=True):
            if width >= 7:  # narrower than its number
                box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.2, "alpha": 0.92}
                axes.text(
                    left + width / 2, float(place), f"{width:.0f}", ha="center", va="center", fontsize=8.5, bbox=box
                )
        start = start + widths
    axes.set_yticks(places, list(panel))
    axes.invert_yaxis()
