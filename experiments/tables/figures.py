"""Figures 12 and 17 from the cells of a sweep: accuracy over training, and λ_min by kind of problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.seed_curves import legend_on, line_style
from experiments.figures.studies import write_rows
from experiments.tables.plans import AIME24, CHOSEN, CURVES, WEIGHTS, Row
from experiments.tables.reading import Cells, Number
from experiments.tables.writing import Table
from steerctl.evaluation.seeds import Bands, bands
from steerctl.report.canvas import SHADES, drawing

BASELINE = Row("GRPO", "grpo")
ACCURACY = "validation/accuracy/mean"
ASIDE = {each.key for each in CHOSEN}
AXIS = {ACCURACY: "validation accuracy, %", AIME24: "AIME24, mean of 32, %"}


def draw(table: Table, out: Path) -> None:
    """NAME.svg and NAME.png, and the points of Figure 12 as NAME_steps.csv; nothing without a finished cell."""
    if not table.cells.finished:
        return
    if table.plan.name == "fig12":
        draw_curves(table, out)
    else:
        draw_bars(table, out)


def curve(cells: Cells, variant: str, key: str) -> tuple[list[int], Bands] | None:
    """A metric at the steps where any seed has it: mean and 95 % interval over seeds; None without a finished cell."""
    runs = [
        {int(line["step"]): line[key] for line in each.lines if key in line} for each in cells.done[variant].values()
    ]
    steps = sorted({step for run in runs for step in run})
    if not steps:
        return None
    return steps, bands([[run.get(step, np.nan) for step in steps] for run in runs])


def draw_curves(table: Table, out: Path) -> None:
    """Methods on the left, λ_min on the right, where a test is what validation is at tiny scale."""
    key = AIME24 if table.scale == "paper" else ACCURACY
    rows: list[dict[str, object]] = []
    with drawing(out / "fig12.svg", out / "fig12.png", width=10.0, height=4.6) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        for place, shown in zip(axes, (CURVES, (BASELINE, *WEIGHTS)), strict=True):
            rows += _lines(place, table.cells, shown, key)
            place.set_xlabel("training step")
            legend_on(place, columns=3)
        axes[0].set_ylabel(AXIS[key])
    write_rows(out / "fig12_steps.csv", rows)


def _lines(axes: Axes, cells: Cells, shown: Sequence[Row], key: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for index, row in enumerate(shown):
        found = curve(cells, row.variant, key)
        if found is None:
            continue
        steps, band = found
        style = line_style(index)
        axes.plot(steps, 100 * band.mean_T, label=row.label, **style)
        axes.fill_between(steps, 100 * band.low_T, 100 * band.high_T, color=style["color"], alpha=0.10, linewidth=0)
        for place, step in enumerate(steps):
            rows.append({
                "method": row.label, "variant": row.variant, "step": step, "seeds": int(band.count_T[place]),
                "mean": float(band.mean_T[place]), "low": float(band.low_T[place]), "high": float(band.high_T[place]),
            })  # fmt: skip
    return rows


def draw_bars(table: Table, out: Path) -> None:
    """A group of bars per kind of problem, a bar per λ_min, and GRPO's level across each group."""
    numbers = [each for each in table.part.numbers if each.factor == 100 and each.key not in ASIDE]
    numbers.sort(key=lambda each: each.compared)
    with drawing(out / "fig17.svg", out / "fig17.png", width=9.0, height=4.4) as figure:
        axes = figure.subplots()
        for index, row in enumerate(WEIGHTS):
            _bars(axes, table, numbers, (row, index))
        for place, number in enumerate(numbers):
            base = table.of(number, BASELINE)
            if base is not None:
                level = number.factor * base.mean.value
                label = "GRPO" if place == 0 else None
                axes.plot([place - 0.42, place + 0.42], [level, level], color="#222222", linewidth=1.4, label=label)
        names = ["all" if each.key == ACCURACY else each.title.removesuffix(", %") for each in numbers]
        axes.set_xticks(range(len(numbers)), names)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("accuracy, %")
        axes.grid(visible=False, axis="x")
        legend_on(axes, columns=5)


def _bars(axes: Axes, table: Table, numbers: Sequence[Number], which: tuple[Row, int]) -> None:
    row, index = which
    found = [(place, number, each) for place, number in enumerate(numbers) if (each := table.of(number, row))]
    if not found:
        return
    places = [place + 0.2 * (index - 1.5) for place, _, _ in found]
    means = [number.factor * each.mean.value for _, number, each in found]
    half = [number.factor * (each.mean.high - each.mean.value) if each.mean.high is not None else 0.0
            for _, number, each in found]  # fmt: skip
    axes.bar(places, means, width=0.18, color=SHADES[index], label=row.label.removeprefix("STEER, "), yerr=half,
             error_kw={"elinewidth": 0.9, "capsize": 2.0})  # fmt: skip
