"""The figures of this folder, from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from experiments.token_changes.measures import LABELS, SHOWN, Row, agrees, mean_of, names, pushed, slope
from experiments.token_changes.tokens import Tokens
from steerctl.analysis.bootstrap import Estimate
from steerctl.report.agreement import HATCHES, Point, ScatterPanel, draw_lines, draw_scatter
from steerctl.report.axis import SignedAxis
from steerctl.report.canvas import COLOURS, INK, MARKERS, PAPER, SHADES, drawing, note

MEASURES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "sign": "share with the same sign",
    "top_5_size": "overlap of the largest 5%",
    "top_5_fall": "overlap of the largest 5% of falls",
}
SCATTERED = ("own_logit", "covariance", "first_order")
LINES = ("-", "--", ":", "-.")
CELLS = 40


def draw_steps(tokens: Tokens, rows: Sequence[Row], *paths: Path) -> None:
    """fig1: mean change and agreement over the steps."""
    shown = [name for name in SHOWN if name in names(tokens)]
    panels: dict[str, dict[str, list[Point]]] = {"mean change of a token (1e-3 nats)": _means(tokens, shown)}
    for measure, label in MEASURES.items():
        panels[label] = {
            LABELS[name]: [
                Point(row["group"], row[measure], row[f"{measure}_low"], row[f"{measure}_high"])
                for row in rows
                if (row["tokens"], row["by"], row["prediction"]) == ("pushed", "step", name)
            ]
            for name in shown
        }
    draw_lines(panels, *paths, setting="training step", logarithmic=False)


def drawn(found: Estimate) -> tuple[float, float, float]:
    """A value and the ends of its interval; the value itself where there is none."""
    value = np.nan if found.value is None else found.value
    return value, *(value if end is None else end for end in (found.low, found.high))


def _means(tokens: Tokens, shown: Sequence[str]) -> dict[str, list[Point]]:
    """Of the tokens of each step; predictions that are not in nats are scaled to fit the tokens of all steps best."""
    few = pushed(tokens)
    series = {"measured": few["measured"]} | {LABELS[name]: few[name] * slope(few, name) for name in shown}
    points: dict[str, list[Point]] = {}
    for label, values in series.items():
        for step in np.unique(few["step"]).tolist():
            inside = few["step"] == step
            found = mean_of(1e3 * values[inside], few["problem_id"][inside])
            points.setdefault(label, []).append(Point(step, *drawn(found)))
    return points


def draw_clips(rows: Sequence[Row], *paths: Path) -> None:
    """fig9: where clipped tokens lie, and how often a token of a probability is clipped."""
    labels = [f"{row['from']:g} to {row['to']:g}" for row in rows]
    places = np.arange(len(rows))
    with drawing(*paths, width=9.6, height=3.9) as figure:
        counts, rates = figure.subplots(1, 2)
        bottom = np.zeros(len(rows))
        total = sum(row["tokens"] for row in rows)
        for index, (key, label) in enumerate((("clipped_above", "A > 0: above"), ("clipped_below", "A < 0: below"))):
            heights = np.array([1000 * row[key] / total for row in rows])
            style: dict[str, Any] = {"color": COLOURS[index], "hatch": HATCHES[index], "edgecolor": PAPER}
            counts.bar(places, heights, 0.78, bottom=bottom, label=label, linewidth=0.8, **style)
            bottom += heights
        counts.set_ylabel("clipped tokens per 1,000 looked at")
        counts.legend(frameon=False, title="clipped where", alignment="left")
        known = [(place, row) for place, row in zip(places, rows, strict=True) if row["rate"] is not None]
        values = np.array([[100 * row[key] for key in ("rate", "rate_low", "rate_high")] for _, row in known])
        reach = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        rates.errorbar(
            [place for place, _ in known], values[:, 0], reach, color=INK, marker="o", linewidth=1.5, capsize=3
        )
        rates.set_ylabel("of the bin's tokens, clipped (%)")
        for axes in (counts, rates):
            axes.set_xticks(places, labels, rotation=40, ha="right", fontsize=8.5)
            axes.set_xlabel("probability when sampled")
            axes.set_ylim(bottom=0)
            axes.grid(visible=False, axis="x")
            axes.set_axisbelow(True)


def draw_entropies(tokens: Tokens, rows: Sequence[Row], text: str, *paths: Path) -> None:
    """fig10: the change against the entropy before it, every token and means of bins."""
    axis = SignedAxis.of(tokens["measured"])
    edges = np.linspace(0, 1.001 * float(tokens["entropy"].max()), CELLS + 1)
    counts = np.histogram2d(tokens["entropy"], tokens["measured"], bins=(edges, axis.edges()))[0].T
    with drawing(*paths, width=9.8, height=4.0) as figure:
        left, right = figure.subplots(1, 2)
        filled = np.where(counts > 0, counts, np.nan)
        shades = LinearSegmentedColormap.from_list("density", SHADES)
        mesh = left.pcolormesh(edges, axis.edges(), filled, cmap=shades, norm=LogNorm(1, counts.max()), rasterized=True)
        axis.along(left, "y")
        left.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        left.set(xlabel="entropy H before the update (nats)", ylabel="measured change (nats)")
        note(left, text, corner="upper right")
        figure.colorbar(mesh, ax=left, pad=0.015).set_label("tokens in a cell")
        _by_entropy(right, rows)


def _by_entropy(axes: Axes, rows: Sequence[Row]) -> None:
    for index, (key, label) in enumerate((("size", "its absolute value"), ("change", "the change itself"))):
        values = np.array([[1e3 * row[each] for each in (key, f"{key}_low", f"{key}_high")] for row in rows])
        reach = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        entropies = [row["entropy"] for row in rows]
        style: dict[str, Any] = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": LINES[index]}
        axes.errorbar(entropies, values[:, 0], reach, label=label, linewidth=1.5, capsize=3, **style)
    axes.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    axes.set(xlabel="entropy H before the update (nats)", ylabel="mean of a tenth of the tokens (1e-3 nats)")
    axes.legend(frameon=False)


def scale_of(tokens: Tokens, name: str) -> float:
    """What gives a prediction the measured change's mean square; 1 where it is in nats."""
    if name == "first_order":
        return 1.0
    own = float(np.square(tokens[name]).sum())
    return float(np.sqrt(np.square(tokens["measured"]).sum() / own)) if own else 0.0


def histogram_rows(sizes: Mapping[str, Tokens]) -> list[Row]:
    """Share of the tokens in cells of the change, measured and predicted: of pushed tokens, one axis for all."""
    few = {size: pushed(tokens) for size, tokens in sizes.items()}
    axis = SignedAxis.of(np.concatenate([tokens["measured"] for tokens in few.values()]))
    edges = axis.edges(CELLS)
    rows = []
    for size, tokens in few.items():
        for name in ("measured", *(name for name in SCATTERED if name in names(tokens))):
            factor = 1.0 if name == "measured" else scale_of(tokens, name)
            values = np.clip(tokens[name] * factor, edges[0], edges[-1])
            shares = np.histogram(values, edges)[0] / len(values)
            rows += [
                {"size": size, "change": name, "scaled_by": factor, "from": low, "to": high, "share": share}
                for low, high, share in zip(edges[:-1].tolist(), edges[1:].tolist(), shares.tolist(), strict=True)
            ]
    return rows


def draw_histograms(rows: Sequence[Row], axis: SignedAxis, *paths: Path) -> None:
    """fig18, fig20: a panel per size, the measured change filled and predictions as lines."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    with drawing(*paths, width=0.6 + 3.4 * len(sizes), height=3.6) as figure:
        grid = figure.subplots(1, len(sizes), squeeze=False, sharey=True)
        for axes, size in zip(grid.flat, sizes, strict=True):
            series = list(dict.fromkeys(row["change"] for row in rows if row["size"] == size))
            for index, name in enumerate(series):
                few = [row for row in rows if (row["size"], row["change"]) == (size, name)]
                edges = [few[0]["from"], *(row["to"] for row in few)]
                values = [100 * row["share"] for row in few]
                if name == "measured":
                    axes.stairs(values, edges, fill=True, color="#d0d0cb", label="measured")
                    continue
                style: dict[str, Any] = {"color": COLOURS[index - 1], "linestyle": LINES[index - 1]}
                axes.stairs(values, edges, label=LABELS[name], linewidth=1.5, **style)
            axis.along(axes, "x")
            axes.set_yscale("log")
            axes.set_title(size, fontsize=10)
            axes.set_xlabel("change of entropy (nats)")
        grid.flat[0].set_ylabel("tokens in a cell (%)")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)


def draw_scatters(sizes: Mapping[str, Tokens], *paths: Path) -> None:
    """fig19, fig21: a row per prediction, a column per size; pushed tokens."""
    few = {size: pushed(tokens) for size, tokens in sizes.items()}
    panels = []
    for name in SCATTERED:
        for size, tokens in few.items():
            if name not in names(tokens):
                continue
            found = agrees(tokens, name).measures
            shown = [
                f"{label} {found[key].value:.2f}"
                for key, label in (("pearson", "r"), ("spearman", "ρ"), ("sign", "sign"))
            ]
            scaled = tokens[name] * slope(tokens, name)
            panels.append(ScatterPanel(f"{LABELS[name]}: {size}", scaled, tokens["measured"], "\n".join(shown)))
    draw_scatter(panels, *paths)
