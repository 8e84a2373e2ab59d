"""Figures of the transformer study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from transformer_results import FIRST, FORMS, LATER, PARTS, TOTALS, Results
from transformer_studies import SMALL, Tokens, at, moments, predicted
from transformer_tables import LABELS, PART_LABELS, PEARSON, rate_text

from steerctl.report.agreement import ScatterPanel, draw_lines, draw_scatter, draw_shares
from steerctl.report.canvas import drawing, series_style


def draw_rates(found: Results, optimiser: str, *paths: Path) -> None:
    """Agreement over learning rates."""
    wanted = (
        (f"Pearson of first order\n(dashed: {PEARSON})", TOTALS[0], "pearson"),
        (f"sign agreement of first order\n(dashed: {PEARSON})", TOTALS[0], "sign"),
        (f"Pearson, second order too\n(dashed: {PEARSON})", TOTALS[1], "pearson"),
    )
    panels = {
        label: {
            name: found.points(optimiser, name, prediction, measure) for name in found.updates if name != LATER
        }
        for label, prediction, measure in wanted
    }  # fmt: skip
    draw_lines(panels, *paths, setting=f"learning rate of the update ({optimiser})", level=PEARSON)


def draw_parts(found: Results, *paths: Path) -> None:
    """Shares of all movement."""
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for optimiser, updates in (("AdamW", FIRST), ("AdamW", LATER), ("SGD", LATER)):
        for cell in found.sizes:
            if (cell.optimiser, cell.updates) == (optimiser, updates):
                shares = {PART_LABELS[part]: found.share(cell, part).size.value or 0.0 for part in PARTS}
                panels.setdefault(f"{optimiser}, {updates}", {})[rate_text(cell.learning_rate)] = shares
    draw_shares(panels, *paths, setting="learning rate of the update")


def draw_forms(found: Results, *paths: Path) -> None:
    """What each own-state form is worth: against the true own-state term, and against the measured change."""
    settings = (("AdamW", found.trained_at), *SMALL)
    names = ("first_order", "own_state", *FORMS)
    titles = {"measured": "with the measured change", "own_state": "with the true own-state term"}
    with drawing(*paths, width=10.0, height=4.4) as figure:
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (truth, title) in zip(grid, titles.items(), strict=True):
            for index, (optimiser, rate) in enumerate(settings):
                cell = found.cell(optimiser, rate, LATER, "pushed")
                lines = [(row, found.line("forms", cell, name, truth)) for row, name in enumerate(names)]
                shown = [(row, each.measures["pearson"]) for row, each in lines if each]
                values = np.array([[each.value, each.low, each.high] for _, each in shown], dtype=np.float64)
                axes.errorbar(
                    values[:, 0], [row + 0.22 * (index - 1) for row, _ in shown],
                    xerr=np.abs(values[:, 1:] - values[:, :1]).T, linestyle="none",
                    label=f"{optimiser}, {rate_text(rate)}", **series_style(index),
                )  # fmt: skip
            axes.set_title(title, fontsize=10)
            axes.set(xlim=(-0.05, 1.03), xlabel="Pearson correlation, tokens with w ≠ 0")
        grid[0].set_yticks(range(len(names)), [LABELS[name] for name in names])
        grid[0].invert_yaxis()
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)


def draw_predictions(found: Results, tokens: Tokens, *paths: Path) -> None:
    """Predicted against measured change, as trained; formulas scaled to fit best."""
    cell = found.cell("AdamW", found.trained_at, LATER)
    mask = at(tokens, cell) & moments(tokens)[LATER]
    panels = []
    for name in (*TOTALS, "own_state", "exact", "own_logit", "released"):
        line = found.line("rates" if name in TOTALS else "forms", cell, name)
        if line is None:
            continue
        measures, values = line.measures, predicted(tokens, name)[mask]
        if name in FORMS:
            values = values * (found.trained_at * (measures["slope"].value or 0.0))
        pushed = found.line("forms", replace(cell, tokens="pushed"), name)
        signs = measures if pushed is None else pushed.measures
        note = f"Pearson {measures['pearson'].value:.2f}\nsign {signs['sign'].value:.2f}"
        note += "" if name in TOTALS else " (w ≠ 0)"
        panels.append(ScatterPanel(LABELS[name], values, tokens["measured"][mask], note))
    draw_scatter(panels, *paths)
