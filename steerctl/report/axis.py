"""An axis for numbers of both signs that span decades: even near 0, logarithmic beyond."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

CELLS = 56
"""Of a histogram along the axis."""
EVEN = (1e-4, 0.1)
"""Bounds of the even middle of an axis, as a share of the largest number."""
TICKS = 3
"""At most so many on either side of 0."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SignedAxis:
    """An axis that is even up to `linear` and logarithmic from there to `reach`, on both sides of 0."""

    linear: float
    reach: float

    @classmethod
    def of(cls, values: ArrayLike) -> SignedAxis:
        """For these numbers: half of those that are not 0 lie in the even part."""
        sizes = np.abs(np.asarray(values, np.float64))
        sizes = sizes[sizes > 0]
        if not sizes.size:
            return cls(0.1, 1.0)
        reach = float(sizes.max())
        return cls(float(np.clip(np.median(sizes), EVEN[0] * reach, EVEN[1] * reach)), reach)

    def edges(self, cells: int = CELLS) -> Vector:
        """Of cells that are even on the drawn axis, one more than there are."""
        end = np.arcsinh(1.001 * self.reach / self.linear)
        edges: Vector = self.linear * np.sinh(np.linspace(-1, 1, cells + 1) * end)
        return edges

    @property
    def powers(self) -> list[int]:
        """Of ten, marked on either side of 0: from where the axis bends to its end, every second or third if many."""
        last = math.floor(math.log10(self.reach))
        first = min(last, math.ceil(math.log10(2 * self.linear)))
        step = math.ceil((last - first + 1) / TICKS)
        return list(range(last, first - 1, -step))[::-1]

    def along(self, axes: Axes, *which: str) -> None:
        """Make it the axis of a panel; which: "x", "y" or both."""
        sizes = [10.0**power for power in self.powers]
        labels = [f"10^{{{power}}}" if not -3 < power < 3 else f"{10.0**power:g}" for power in self.powers]
        ticks = [-size for size in reversed(sizes)] + [0.0, *sizes]
        names = [f"$-{label}$" for label in reversed(labels)] + ["$0$", *(f"${label}$" for label in labels)]
        ends = self.edges()[[0, -1]]
        for name in which:
            axis = axes.xaxis if name == "x" else axes.yaxis
            getattr(axes, f"set_{name}scale")("asinh", linear_width=self.linear)
            axis.set_minor_locator(NullLocator())
            axis.set_ticks(ticks, names, fontsize=8.5)
            getattr(axes, f"set_{name}lim")(ends)
