"""CISPO: the ratio is clipped as a detached weight of the policy gradient, so that no token loses its gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from steerctl.loss import Clips, Surrogate
from steerctl.loss.ppo_clip import MAX_LOG_RATIO
from steerctl.types import Dials, TokenBatch, TokenStats


class Cispo(Surrogate):
    """surrogate = sg[clip(r, 1 − ε_low, 1 + ε_high)]·A·log π, gradient clip(r)·A·∇log π at every token.

    r = exp(clamp(log π − log π_old, ±20)). At r = 1 the gradient is `ppo_clip`'s; the value is not. Factors touched:
    clip. The two readings of the same setting in use:

    bound  relative  r is held in [1 − clip_ratio_low, 1 + clip_ratio_high] (verl)
           absolute  r is held below clip_ratio_high itself, without a lower bound (TRL, Liger; the method's paper, too,
                     bounds from above only)

    Dials hold the relative form in both, so that interventions that set bounds mean the same: absolute starts them at
    clip_high = clip_ratio_high − 1 and clip_low = ∞.

    Presets, each an entry for algorithm.loss:

        verl: {kind: cispo}
        scale_rl: {kind: cispo, bound: absolute, clip_ratio_high: 5.0}

    Source: MiniMax-M1, arXiv 2506.13585; verl `core_algos` (cispo); TRL and Liger (loss_type cispo); the bound 5 is
    ScaleRL's as TRL gives it.

    Departures: (1) from the paper: relative by default, as verl's setting is read; the paper names no number.
    """

    kind: Literal["cispo"] = "cispo"
    clips: ClassVar[Clips] = "weight"
    plain_when_on_policy: ClassVar[bool] = True
    bound: Literal["relative", "absolute"] = "relative"
    """What clip_ratio_low and clip_ratio_high mean."""

    @model_validator(mode="after")
    def _absolute_bound_reaches_one(self) -> Cispo:
        if self.bound == "absolute" and self.clip_ratio_high < 1:
            raise ValueError("with bound absolute clip_ratio_high is the largest ratio itself; take 1 or more, e.g. 5")
        return self

    def neutral_dials(self, batch: TokenBatch) -> Dials:
        """The dials no intervention has turned, in relative form."""
        dials = super().neutral_dials(batch)
        if self.bound == "relative":
            return dials
        unbounded_BT = torch.full_like(dials.clip_low_BT, torch.inf)
        return replace(dials, clip_low_BT=unbounded_BT, clip_high_BT=dials.clip_high_BT - 1)

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T]."""
        log_ratio_BT = (stats.logprobs_BT - batch.old_stats.logprobs_BT).detach()
        ratio_BT = log_ratio_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        return ratio_BT.clamp(1 - dials.clip_low_BT, 1 + dials.clip_high_BT) * dials.advantages_BT * stats.logprobs_BT
