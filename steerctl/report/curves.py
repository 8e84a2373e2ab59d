"""Entropy and reward over the steps, side by side, one colour per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from steerctl.errors import UserError
from steerctl.store.atomic import writing
from steerctl.store.record import RunRecord

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, told apart by readers with any colour vision; darkest first."""
MARKERS = ("o", "s", "^", "D", "v")
"""About ten per line, so that colour is not all that tells runs apart."""
PAPER, INK, FAINT = "#fcfcfa", "#222222", "#d9d9d4"
PANELS = (
    ("policy/entropy/mean", "entropy of the policy (nats per token)"),
    ("reward/mean", "mean reward of a response"),
)
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "steerctl", "svg.fonttype": "path",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK, "axes.grid": True, "grid.color": FAINT,
}  # fmt: skip


def draw_curves(records: Sequence[RunRecord], path: Path) -> None:
    """Write the figure to `path`, atomically; the background is opaque and light, so that it reads on dark pages too.

    The same runs give the same SVG, byte for byte.

    Raises:
        UserError: the name ends in neither .svg nor .png.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in {"svg", "png"}:
        raise UserError(f"{path}: figures are .svg or .png; choose one of these endings")
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
    with mpl.rc_context(STYLE), writing(path) as temporary:
        figure = _figure(records)
        figure.savefig(temporary, format=form, dpi=160, facecolor=PAPER, metadata=metadata)


def _figure(records: Sequence[RunRecord]) -> Figure:
    figure = Figure(figsize=(9.0, 3.6), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    runs = [(record.name, [line for line in record.read_metrics() if line["step"] > 0]) for record in records]
    for axes, (key, label) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.set_facecolor(PAPER)
        for index, (name, lines) in enumerate(runs):
            points = [(line["step"], line[key]) for line in lines if key in line]
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                label=name,
                color=COLOURS[index % len(COLOURS)],
                linewidth=1.6,
                marker=MARKERS[index % len(MARKERS)],
                markevery=max(1, len(points) // 10),
                markersize=4.5,
            )
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.margins(x=0.01)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, handlelength=3.0)
    return figure
