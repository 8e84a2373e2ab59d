"""The diverging colour scale of the token page: where each depth begins, and what it looks like on light and dark."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steerctl.report.canvas import FALLS, RISES

LEVELS: Final = 5
"""Depths of colour on either side of 0; the edge of each is about three times that of the one before."""
TOP = 98.0
"""Percentile of the measured sizes at which the deepest colour begins, rounded down to 1 or 3 times a power of ten."""
_MIXED = (0.16, 0.30, 0.44, 0.58, 0.72)
"""Share of the colour in each depth, over the ground: the text keeps a contrast above 4.5 in light and dark."""
_GROUNDS: Final = {"light": "#fcfcfa", "dark": "#16181c"}


def colour_edges(values_N: NDArray[np.float64]) -> tuple[float, ...]:
    """Smallest size of each depth of colour, nats: 1, 3, 10, ... times a power of ten, ascending."""
    sizes = np.abs(values_N[np.isfinite(values_N)])
    top = float(np.percentile(sizes, TOP)) if sizes.any() else 1e-3
    top = top or float(sizes.max())
    half_decades = math.ceil(2 * math.log10(top))
    while top < _half_decade(half_decades):  # the logarithm is only near: 3 stands for the root of 10
        half_decades -= 1
    return tuple(_half_decade(half_decades - depth) for depth in reversed(range(LEVELS)))


def _half_decade(number: int) -> float:
    power, half = divmod(number, 2)
    return float(f"{'3' if half else '1'}e{power}")


def colour_rules() -> str:
    """The diverging scale as CSS, for light and dark grounds: orange for falls, blue for rises."""
    rules = {
        ground: "".join(
            f".{letter}{depth}{{background:{mixed(colour, over, share)}}}"
            for letter, colour in (("f", FALLS), ("r", RISES))
            for depth, share in enumerate(_MIXED, start=1)
        )
        for ground, over in _GROUNDS.items()
    }
    return f"{rules['light']}@media (prefers-color-scheme: dark){{{rules['dark']}}}"


def mixed(colour: str, ground: str, share: float) -> str:
    """`share` of one colour over another, as they stand in #rrggbb."""
    pairs = zip(*(bytes.fromhex(each[1:]) for each in (colour, ground)), strict=True)
    return "#" + "".join(f"{round(share * top + (1 - share) * under):02x}" for top, under in pairs)
