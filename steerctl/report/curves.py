"""Entropy and reward over the steps, side by side, one colour per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from steerctl.report.canvas import COLOURS, MARKERS, drawing
from steerctl.store.record import RunRecord

PANELS = (
    ("policy/entropy/mean", "entropy of the policy (nats per token)"),
    ("reward/mean", "mean reward of a response"),
)


def draw_curves(records: Sequence[RunRecord], path: Path) -> None:
    """Write the figure to `path`, atomically; the background is opaque and light, so that it reads on dark pages too.

    The same runs give the same SVG, byte for byte.

    Raises:
        UserError: the name ends in neither .svg nor .png.
        StorageError: the path cannot be written.
    """
    with drawing(path, width=9.0, height=3.6) as figure:
        _draw(figure, records)


def _draw(figure: Figure, records: Sequence[RunRecord]) -> None:
    runs = [(record.name, [line for line in record.read_metrics() if line["step"] > 0]) for record in records]
    for axes, (key, label) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
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
