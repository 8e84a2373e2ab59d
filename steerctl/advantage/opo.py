"""OPO: the length-weighted mean of the group as baseline."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from steerctl.advantage import Advantage


class Opo(Advantage):
    """A = R − b with b = Σ n_i R_i / Σ n_i over the group, n_i the response's tokens.

    The variance-optimal baseline if the squared norm of a response's gradient is proportional to its length.
    rewards_PG, lengths_PG [P, G] -> [P, G] float32. The paper pairs it with strictly on-policy updates
    (optim.updates_per_step 1), no KL and no entropy term.

    Source: arXiv 2505.23585; verl `core_algos.compute_opo_outcome_advantage`.

    Departures: (1) a group of one gives R, as in verl, where the formula gives 0.
    """

    kind: Literal["opo"] = "opo"

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:
        """Advantages [P, G]."""
        rewards_PG, counts_PG = rewards_PG.double(), lengths_PG.double()
        if rewards_PG.shape[1] == 1:
            return rewards_PG.float()
        baseline_P1 = (rewards_PG * counts_PG).sum(dim=1, keepdim=True) / counts_PG.sum(dim=1, keepdim=True)
        return (rewards_PG - baseline_P1).float()
