"""REINFORCE++-baseline: the group's mean as baseline, then whitened over all tokens of the step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import centred, token_whitened


class ReinforcePpBaseline(Advantage):
    """A = (d − μ) / √(σ² + ε) with d = R − mean of the group; μ and σ² over all trained tokens of the step.

    rewards_PG, lengths_PG [P, G] -> [P, G] float32. Unlike GRPO the deviation is the step's, not the group's, and a
    group of equal rewards gets a small common value −μ/σ when right and wrong answers differ in length.

    Source: arXiv 2501.03262; verl `core_algos.compute_reinforce_plus_plus_baseline_outcome_advantage`.

    Departures: (1) no KL in the loss by itself: add intervention `kl` with estimator k2 for the paper's form.
    """

    kind: Literal["reinforce_pp_baseline"] = "reinforce_pp_baseline"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-8
    """Added to the variance (verl 1e-8)."""

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:
        """Advantages [P, G]."""
        return token_whitened(centred(rewards_PG), lengths_PG, self.epsilon).float()
