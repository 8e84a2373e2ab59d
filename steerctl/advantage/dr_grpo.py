"""Dr. GRPO: the group's mean as baseline, no deviation."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import centred


class DrGrpo(Advantage):
    """A = R − mean of the group: no weight on very easy and very hard problems beyond their share.

    rewards_PG [P, G] -> [P, G] float32. The paper pairs it with the setting reduction `constant_norm`.

    Source: arXiv 2503.20783; sail-sg/understand-r1-zero `train_zero_math.py` (critic_type drgrpo).

    Departures: (1) a group of one gives R, as in verl, where the formula gives 0.
    """

    kind: Literal["dr_grpo"] = "dr_grpo"

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        return centred(rewards_PG).float()
