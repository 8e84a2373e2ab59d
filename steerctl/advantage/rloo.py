"""RLOO: the mean of the others as baseline."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import centred


class Rloo(Advantage):
    """A_i = R_i − mean of R_j, j ≠ i = G/(G − 1) · (R_i − mean): an unbiased baseline.

    rewards_PG [P, G] -> [P, G] float32; a group of one has no others: A = R.

    Source: arXiv 2402.14740; verl `core_algos.compute_rloo_outcome_advantage`.

    Departures: none.
    """

    kind: Literal["rloo"] = "rloo"

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        size = rewards_PG.shape[1]
        return (centred(rewards_PG) * (size / max(size - 1, 1))).float()
