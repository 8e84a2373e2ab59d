"""SAPO: a smooth gate in place of the clip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from steerctl.loss import Clips, Surrogate
from steerctl.loss.ppo_clip import MAX_LOG_RATIO
from steerctl.types import Dials, TokenBatch, TokenStats


class Sapo(Surrogate):
    """surrogate = A·(4/τ)·σ(τ(r − 1)), gradient 4σ(1 − σ)·r·A·∇log π; τ = tau_pos where A > 0, else tau_neg.

    r = exp(clamp(log π − log π_old, ±20)), σ the logistic function. The gate 4σ(1 − σ) is 1 at r = 1 and fades on both
    sides, faster for larger τ: negative tokens, which raise the logits of all other tokens, get the larger. The value
    at r = 1 is 2A/τ, not A. Factors touched: clip, advantage (its sign). The clip dials, clip_ratio_low and
    clip_ratio_high have no effect. Meant for reduction seq_mean_token_mean.

    Source: arXiv 2511.20347; verl `core_algos` (sapo); TRL.

    Departures: none known.
    """

    kind: Literal["sapo"] = "sapo"
    clips: ClassVar[Clips] = "none"
    plain_when_on_policy: ClassVar[bool] = True
    tau_pos: PositiveFloat = 1.0
    """τ where A > 0 (paper 1)."""
    tau_neg: PositiveFloat = 1.05
    """τ elsewhere (paper 1.05)."""

    def remarks(self, updates_per_step: int, reduction: str) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """Another reduction than the method's."""
        if reduction != "seq_mean_token_mean":
            yield f"is meant for algorithm.reduction seq_mean_token_mean; {reduction} weighs long responses otherwise"

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T]."""
        log_ratio_BT = stats.logprobs_BT - batch.old_stats.logprobs_BT
        ratio_BT = log_ratio_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        tau_BT = torch.where(dials.advantages_BT > 0, self.tau_pos, self.tau_neg).to(ratio_BT.dtype)
        return dials.advantages_BT * (4 / tau_BT) * torch.sigmoid(tau_BT * (ratio_BT - 1))
