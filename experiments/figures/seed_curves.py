"""Metrics of several seeds as arrays [seed, step], their paired differences, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from experiments.figures.studies import Interval
from steerctl.report.canvas import INK, series_style

Runs = dict[int, NDArray[np.float64]]
"""By seed: a metric [T] over T steps."""
Curves = dict[str, Runs]
"""By variant."""
LAST_STEPS = 5
"""Steps whose mean is the end of a run: each step has other problems, whose spread a mean halves."""
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1)), "-.", ":")


def by_variant(rows: Sequence[Mapping[str, object]], key: str) -> Curves:
    """The metric `key` of rows as `studies.collect` makes them."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        seeds = found.setdefault(str(row["variant"]), {})
        seeds.setdefault(int(str(row["seed"])), []).append(float(str(row[key])))
    return {name: {seed: np.array(seeds[seed]) for seed in sorted(seeds)} for name, seeds in found.items()}


def end_of(runs: Runs) -> dict[int, float]:
    """Mean over the last steps, by seed."""
    return {seed: float(values_T[-LAST_STEPS:].mean()) for seed, values_T in runs.items()}


def mean_of(runs: Runs) -> dict[int, float]:
    """Mean over all steps, by seed: the area under the curve over their number."""
    return {seed: float(values_T.mean()) for seed, values_T in runs.items()}


def sum_of(runs: Runs) -> dict[int, float]:
    """Sum over all steps, by seed."""
    return {seed: float(values_T.sum()) for seed, values_T in runs.items()}


def difference(values: Mapping[int, float], base: Mapping[int, float]) -> Interval:
    """A variant less the baseline, over the seeds that both have."""
    return Interval.of([values[seed] - base[seed] for seed in values if seed in base])


def smoothed(curves: Curves, width: int = 5) -> Curves:
    """Each run's mean over the last `width` steps up to each step, over fewer at its beginning."""
    found: Curves = {}
    for name, runs in curves.items():
        found[name] = {}
        for seed, values_T in runs.items():
            sums = np.concatenate([[0.0], np.cumsum(values_T)])
            first = np.maximum(np.arange(len(values_T)) + 1 - width, 0)
            ends = np.arange(1, len(values_T) + 1)
            found[name][seed] = (sums[ends] - sums[first]) / (ends - first)
    return found


def draw_lines(axes: Axes, curves: Curves, labels: Mapping[str, str], *, every: int = 5, first_style: int = 0) -> None:
    """The mean over seeds of each labelled variant over the steps, and a 95 % interval every so many; 0: none."""
    for index, (name, label) in enumerate(labels.items(), start=first_style):
        values_ST = np.stack(list(curves[name].values()))
        steps_T = np.arange(1, values_ST.shape[1] + 1)
        style, first = line_style(index), index * 2 % (every or 5)
        axes.plot(steps_T, values_ST.mean(axis=0), label=label, markevery=(first, every or 5), **style)
        if every and len(values_ST) > 1:
            shown = steps_T[first::every]
            found = [Interval.of(values_ST[:, step - 1].tolist()) for step in shown]
            low_high = [[each.mean - each.low for each in found], [each.high - each.mean for each in found]]
            bars = {"fmt": "none", "ecolor": style["color"], "elinewidth": 0.9, "capsize": 1.5, "alpha": 0.7}
            axes.errorbar(shown, [each.mean for each in found], yerr=low_high, **bars)
    axes.set_xlabel("training step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of the index-th series: any one of them tells it from its neighbours."""
    return series_style(index) | {"linestyle": LINES[index % len(LINES)], "linewidth": 1.5, "markersize": 4.0}


def draw_differences(axes: Axes, rows: Sequence[tuple[str, Sequence[Interval]]], kinds: Sequence[str]) -> None:
    """A line per variant, from the top, with an interval of each kind beside the vertical line of no difference."""
    axes.axvline(0, color=INK, linewidth=1.0)
    for kind, name in enumerate(kinds):
        found = [intervals[kind] for _, intervals in rows]
        heights = [-row - 0.22 * (kind - (len(kinds) - 1) / 2) for row in range(len(rows))]
        low_high = [[each.mean - each.low for each in found], [each.high - each.mean for each in found]]
        style = series_style(kind) | {"linestyle": "none", "capsize": 2.5, "elinewidth": 1.2, "label": name}
        axes.errorbar([each.mean for each in found], heights, xerr=low_high, **style)
    axes.set_yticks([-row for row in range(len(rows))], [label for label, _ in rows])
    axes.set_ylim(-len(rows) + 0.5, 0.5)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))


def legend_above(figure: Figure, axes: Axes, *, columns: int) -> None:
    """The legend of one panel, for all of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, handlelength=3.2)


def legend_on(axes: Axes, *, columns: int) -> None:
    """The legend of one panel alone, on top of it, where no data are."""
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.2}
    axes.legend(ncols=columns, frameon=False, fontsize=8.5, handlelength=3.0, columnspacing=1.2, **place)
