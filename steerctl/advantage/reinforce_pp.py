"""REINFORCE++: no group baseline, the reward whitened over all tokens of the step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import token_whitened


class ReinforcePp(Advantage):
    """A = (R − μ) / √(σ² + ε), μ and σ² over all trained tokens of the step, each carrying its response's reward.

    rewards_PG, lengths_PG [P, G] -> [P, G] float32; a response of n tokens counts n times.

    Source: arXiv 2501.03262; verl `core_algos.compute_reinforce_plus_plus_outcome_advantage` and `masked_whiten`.

    Departures: (1) discount γ = 1 (verl's default), so that all tokens of a response share one value; (2) no KL inside
    the reward: use intervention `kl`; (3) a step of a single response gives 0.
    """

    kind: Literal["reinforce_pp"] = "reinforce_pp"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-8
    """Added to the variance (verl 1e-8)."""

    @property
    def least_group_size(self) -> int:
        """Responses are compared over the whole step."""
        return 1

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:
        """Advantages [P, G]."""
        return token_whitened(rewards_PG, lengths_PG, self.epsilon).float()
