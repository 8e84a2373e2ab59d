"""One way to write every figure: same style, opaque light ground, SVG and PNG, atomic, byte for byte reproducible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from steerctl.errors import UserError
from steerctl.store.atomic import writing

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, told apart by readers with any colour vision; darkest first."""
MARKERS: Final = ("o", "s", "^", "D", "v")
"""About ten per line, so that colour is not all that tells runs apart."""
PAPER, INK, FAINT = "#fcfcfa", "#222222", "#d9d9d4"
SHADES: Final = ("#bcd7e9", "#86b9da", "#4f9ac8", "#0072B2", "#003a5c")
"""One hue from light to dark, for amounts; its order survives print in black and white."""
FALLS, STILL, RISES = "#D55E00", "#f4f4f0", "#0072B2"
"""Ends and middle of a diverging scale: orange and blue, told apart with any colour vision."""
FORMS: Final = ("svg", "png")
DPI = 160
STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "steerctl", "svg.fonttype": "path",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK, "axes.grid": True, "grid.color": FAINT,
}  # fmt: skip


@contextmanager
def drawing(*paths: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on in the block; it is written to every path when the block ends well. Inches.

    Raises:
        UserError: a name ends in neither .svg nor .png.
        StorageError: a path cannot be written.
    """
    forms = [path.suffix.lower().removeprefix(".") for path in paths]
    for path, form in zip(paths, forms, strict=True):
        if form not in FORMS:
            raise UserError(f"{path}: figures are .svg or .png; choose one of these endings")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
        FigureCanvasAgg(figure)
        yield figure
        for axes in figure.axes:
            axes.set_facecolor(PAPER)
        for path, form in zip(paths, forms, strict=True):
            metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
            with writing(path) as temporary:
                figure.savefig(temporary, format=form, dpi=DPI, facecolor=PAPER, metadata=metadata)


def series_style(index: int) -> dict[str, Any]:
    """Colour and marker of the index-th series: neither alone tells two apart."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5.0}


def note(axes: Axes, text: str, *, corner: str = "upper left") -> None:
    """A few numbers in a corner of a panel, on the panel's ground so that points do not run through them."""
    vertical, horizontal = corner.split()
    axes.text(
        0.03 if horizontal == "left" else 0.97,
        0.97 if vertical == "upper" else 0.03,
        text,
        transform=axes.transAxes,
        va="top" if vertical == "upper" else "bottom",
        ha=horizontal,
        fontsize=8.5,
        color=INK,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 2.0},
    )
