"""GRPO: the reward's z-score within its group."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import centred


class Grpo(Advantage):
    """A = (R − mean) / (std + ε) within the group; a group of one gives R/(1 + ε).

    rewards_PG [P, G] -> [P, G] float32. A group of equal rewards gives 0 and still counts in the loss's denominator.

    Source: DeepSeekMath, arXiv 2402.03300 §4.1.2; verl `core_algos.compute_grpo_outcome_advantage`.

    Departures: (1) from the paper: ε, as every code has it; (2) from verl: sums in float64.
    """

    kind: Literal["grpo"] = "grpo"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation (verl 1e-6, TRL 1e-4, understand-r1-zero 1e-8)."""
    std: Literal["sample", "population"] = "sample"
    """Deviation with divisor G − 1 ("sample": verl, TRL) or G; they differ by 1.069 at G = 8."""

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        centred_PG = centred(rewards_PG)
        if rewards_PG.shape[1] == 1:
            std_P1 = torch.ones_like(centred_PG)
        else:
            std_P1 = rewards_PG.double().std(dim=1, keepdim=True, correction=1 if self.std == "sample" else 0)
        return (centred_PG / (std_P1 + self.epsilon)).float()
