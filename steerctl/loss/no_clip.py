"""The importance-weighted objective alone: no bound on the ratio."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from steerctl.loss import Clips, Surrogate
from steerctl.loss.ppo_clip import MAX_LOG_RATIO
from steerctl.types import Dials, TokenBatch, TokenStats


class NoClip(Surrogate):
    """surrogate = r·A, r = exp(clamp(log π − log π_old, ±20)), gradient r·A·∇log π at every token.

    The policy gradient of PPO before its clip: unbiased per token whatever the drift, with a variance that grows with
    it. On the first update of a step it is `ppo_clip`, bit for bit. The clip dials, clip_ratio_low and clip_ratio_high
    have no effect. Factors touched: clip (taken away).

    Source: PPO, arXiv 1707.06347 Eq. 6 (conservative policy iteration).

    Departures: (1) the exponent is held in ±20 (verl), beyond which a token has no gradient.
    """

    kind: Literal["no_clip"] = "no_clip"
    clips: ClassVar[Clips] = "none"
    plain_when_on_policy: ClassVar[bool] = True

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T]."""
        log_ratio_BT = stats.logprobs_BT - batch.old_stats.logprobs_BT
        return log_ratio_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() * dials.advantages_BT
