"""GSPO: PPO's clip on one ratio per response, the geometric mean of its tokens' ratios."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from steerctl.loss import Clips, Surrogate
from steerctl.types import Dials, TokenBatch, TokenStats

TOKEN_SIZED = 0.05
"""Bounds from here on are those of a token's ratio."""
MAX_LOG_SEQUENCE_RATIO = 10.0
"""Largest exponent of a sequence's ratio (verl)."""


class Gspo(Surrogate):
    """surrogate = min(s·A, clip(s, 1 − ε_low, 1 + ε_high)·A), s_it = sg[s_i]·π/sg[π], s_i = exp(mean_t log(π/π_old)).

    The mean is over the response's n_i trained tokens. In value s_it = s_i at every token, so a response is clipped as
    a whole; its gradient is s_i·A·∇log π of each token, so a response's token mean moves by s_i·A·∇log s_i where A is
    one number. A, ε_low and ε_high come from the dials, per token; an infinite ε is no bound. Factors touched: clip.

    s_i lies far nearer 1 than tokens' ratios do: with a token's ε (0.2) it practically never clips. Meant for reduction
    seq_mean_token_mean; seq_mean_token_sum and token_mean weigh long responses more.

    Source: arXiv 2507.18071 (GSPO-token, ε of its experiments); verl `core_algos` (gspo); TRL
    `importance_sampling_level="sequence"`; OpenRLHF.

    Departures: (1) the exponent is held at 10 or less (verl; the paper: no bound), without losing the gradient; (2) a
    response without trained tokens has s = 1.
    """

    kind: Literal["gspo"] = "gspo"
    clips: ClassVar[Clips] = "sequence"
    plain_when_on_policy: ClassVar[bool] = True
    clip_ratio_low: NonNegativeFloat = 3e-4
    """The sequence's ratio is held above 1 − clip_ratio_low (paper 3e-4)."""
    clip_ratio_high: NonNegativeFloat = 4e-4
    """The sequence's ratio is held below 1 + clip_ratio_high (paper 4e-4)."""

    def remarks(self, updates_per_step: int, reduction: str) -> Iterator[str]:
        """Another reduction than the method's, bounds that are practically never reached."""
        if reduction != "seq_mean_token_mean":
            yield f"is meant for algorithm.reduction seq_mean_token_mean; {reduction} weighs long responses otherwise"
        large = [name for name in ("clip_ratio_low", "clip_ratio_high") if TOKEN_SIZED <= getattr(self, name) < inf]
        if large and updates_per_step > 1:
            yield f"{' and '.join(large)} fits a token's ratio; a response's is far nearer 1 (paper: 3e-4 and 4e-4)"

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T]."""
        log_ratio_BT = (stats.logprobs_BT - batch.old_stats.logprobs_BT).detach()
        log_ratio_BT = torch.where(batch.loss_mask_BT, log_ratio_BT, torch.zeros_like(log_ratio_BT))
        counts_B1 = batch.loss_mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
        sequence_B1 = (log_ratio_BT.sum(dim=1, keepdim=True) / counts_B1).clamp(max=MAX_LOG_SEQUENCE_RATIO).exp()
        ratio_BT = sequence_B1 * (stats.logprobs_BT - stats.logprobs_BT.detach()).exp()
        clipped_BT = ratio_BT.clamp(1 - dials.clip_low_BT, 1 + dials.clip_high_BT)
        return torch.minimum(ratio_BT * dials.advantages_BT, clipped_BT * dials.advantages_BT)
