"""Shares of something new and of what stood there before, as they move over a run."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Schedule = Literal["constant", "increase_decrease", "decrease_increase_decrease", "oscillatory_decay"]
Mode = Literal["standard", "raise", "lower"]
"""What oscillatory_decay is at."""


def shares(schedule: Schedule, mode: Mode, progress: float) -> tuple[float, float]:
    """Of what raises entropy and of what lowers it, after this part of the run (0 to 1)."""
    fade, late = 1 - 2 * progress, progress >= 0.5
    return {
        "constant": (1.0, 0.0),
        "increase_decrease": (0.0, 1 + fade) if late else (fade, 0.0),
        "decrease_increase_decrease": (1.0, 1 + fade) if late else (1 - fade, 0.0),
        "oscillatory_decay": (float(mode == "raise"), float(mode == "lower")),
    }[schedule]


def mixed(share: float, new: Tensor, old: Tensor) -> Tensor:
    """`share` of the new, the rest of the old, which may be infinite."""
    if share in (0.0, 1.0):
        return new if share else old
    return share * new + (1 - share) * old
