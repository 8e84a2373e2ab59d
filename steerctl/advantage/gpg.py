"""GPG: the group's mean as baseline, and a factor that makes up for groups without information."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.advantage._groups import centred


class Gpg(Advantage):
    """A = α (R − mean) / F, with α from the share of informative samples and F = 1 or the group's std + ε.

    rewards_PG [P, G] -> [P, G] float32. The method's loss is −A log π without ratio or clip: loss `reinforce`.

    α, with B samples in the step:
        valid_groups     B / (B − M), M samples in groups of equal rewards (the paper; AMAP-ML/GPG divides its loss by
                         the inverse, `adjust_gd`)
        nonzero_rewards  B / number of rewards that are not 0 (verl: another quantity, wrong answers count as missing)
        one              1

    Source: arXiv 2504.02546; AMAP-ML/GPG `gpg_trainer.py`; verl `core_algos.compute_gpg_outcome_advantage`.

    Departures: (1) no resampling below a share of valid groups: that is rollout.dynamic_sampling; (2) α is the step's,
    over all ranks, where AMAP-ML's is one rank's; (3) a denominator of 0 counts as 1.
    """

    kind: Literal["gpg"] = "gpg"
    alpha: Literal["valid_groups", "nonzero_rewards", "one"] = "valid_groups"
    """Which α; the paper's by default."""
    f_norm: Literal["one", "std"] = "one"
    """F ("one": the paper's best)."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    """Added to the deviation when f_norm is "std" (AMAP-ML/GPG 1e-4)."""

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        advantages_PG = self._alpha(rewards_PG) * centred(rewards_PG)
        if self.f_norm == "std" and rewards_PG.shape[1] > 1:
            advantages_PG = advantages_PG / (rewards_PG.double().std(dim=1, keepdim=True) + self.epsilon)
        return advantages_PG.float()

    def _alpha(self, rewards_PG: Tensor) -> float:
        if self.alpha == "one":
            return 1.0
        if self.alpha == "nonzero_rewards":
            return rewards_PG.numel() / max(int(torch.count_nonzero(rewards_PG)), 1)
        informative_P1 = (rewards_PG != rewards_PG[:, :1]).any(dim=1, keepdim=True)
        if rewards_PG.shape[1] == 1:  # no baseline, so a group of one is informative unless its reward is 0
            informative_P1 = rewards_PG != 0
        return rewards_PG.numel() / max(int(informative_P1.sum()) * rewards_PG.shape[1], 1)
