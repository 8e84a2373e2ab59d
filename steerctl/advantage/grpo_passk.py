"""GRPO-PassK: only the best response of a group has credit, its lead over the second best."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage


class GrpoPassk(Advantage):
    """A = (R₁ − R₂)/(std + ε) for the best response, R₂ the second best reward of the group; 0 for all others.

    rewards_PG [P, G] -> [P, G] float32. With rewards 0 and 1 a group counts only if exactly one response is right. No
    advantage is negative.

    Source: arXiv 2503.19595; verl `core_algos.compute_grpo_passk_outcome_advantage`.

    Departures: (1) a group of one, which verl refuses, gives 0; (2) sums in float64.
    """

    kind: Literal["grpo_passk"] = "grpo_passk"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation, which has divisor G − 1 (verl 1e-6)."""

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        rewards_PG = rewards_PG.double()
        if rewards_PG.shape[1] == 1:
            return torch.zeros_like(rewards_PG).float()
        best = rewards_PG.topk(2, dim=1)
        lead_P = (best.values[:, 0] - best.values[:, 1]) / (rewards_PG.std(dim=1) + self.epsilon)
        return torch.zeros_like(rewards_PG).scatter(1, best.indices[:, :1], lead_P[:, None]).float()
