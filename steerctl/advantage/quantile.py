"""Quantile advantage (QAE): a quantile of the group as baseline in place of its mean."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage


class Quantile(Advantage):
    """A = (R − b)/(std + ε), b the group's K-quantile: the smallest reward that at least K·G of its rewards reach down.

    rewards_PG [P, G] -> [P, G] float32. With rewards 0 and 1, b = 0 in a hard group, where at most a share 1 − K is
    right, and 1 in an easy one: only the right answers of hard problems and the wrong ones of easy problems have
    credit, all others exactly 0. b is always a reward of the group, so that equal rewards give 0.

    Source: arXiv 2509.22611, read in published notes (K 0.4, on DAPO); no code found.

    Departures: (1) ε and the deviation's divisor G − 1 are GRPO's; (2) a group of one gives R/(1 + ε), as advantage
    `grpo`, where the formula gives 0.
    """

    kind: Literal["quantile"] = "quantile"
    quantile: Annotated[float, Field(gt=0, le=1)] = 0.4
    """K (paper 0.4); larger: more groups count as hard."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation (verl's GRPO 1e-6)."""

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        rewards_PG = rewards_PG.double()
        size = rewards_PG.shape[1]
        if size == 1:
            return (rewards_PG / (1 + self.epsilon)).float()
        rank = ceil(self.quantile * size - 1e-9)  # 0.7·10 is a little more than 7
        baseline_P1 = rewards_PG.sort(dim=1).values[:, max(rank, 1) - 1, None]
        std_P1 = torch.std(rewards_PG, dim=1, keepdim=True)
        return ((rewards_PG - baseline_P1) / (std_P1 + self.epsilon)).float()
