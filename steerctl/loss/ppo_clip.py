"""PPO's clipped surrogate with its own bound on either side of 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.loss import Surrogate
from steerctl.types import Dials, TokenBatch, TokenStats

MAX_LOG_RATIO = 20.0
"""The ratio's exponent is held within ± this (verl), so that a lost token gives a large number and not infinity."""


class PpoClip(Surrogate):
    """surrogate = min(r·A, clip(r, 1 − ε_low, 1 + ε_high)·A), and with dual clip at least c·A where A < 0.

    r = exp(clamp(log π − log π_old, ±20)), gradient r·A·∇log π where the bound is not active, else 0. On the first
    update of a step r = 1: no bound is active. A, ε_low and ε_high come from the dials, [B, T]; an infinite ε is no
    bound. Masked positions hold finite numbers. Factors touched: clip.

    Source: PPO, arXiv 1707.06347 Eq. 7; asymmetric bounds DAPO, arXiv 2503.14476; dual clip arXiv 1912.09729;
    verl `core_algos` (vanilla policy loss).

    Departures: (1) dual clip is off by default (verl c = 3, the DAPO and STEER scripts c = 10); (2) exactly at a bound
    the gradient is that of the unclipped term.
    """

    kind: Literal["ppo_clip"] = "ppo_clip"
    dual_clip: Annotated[float, Field(gt=1)] | None = None
    """c: where A < 0, ratios above c get no gradient; None: they do."""

    def remarks(self, updates_per_step: int, reduction: str) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """A dual clip that is never reached."""
        if self.dual_clip is not None and updates_per_step == 1:
            yield "dual_clip is never reached with optim.updates_per_step 1: the ratio is exactly 1"

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T]."""
        advantages_BT = dials.advantages_BT
        log_ratio_BT = stats.logprobs_BT - batch.old_stats.logprobs_BT
        ratio_BT = log_ratio_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        clipped_BT = ratio_BT.clamp(1 - dials.clip_low_BT, 1 + dials.clip_high_BT)
        surrogate_BT = torch.minimum(ratio_BT * advantages_BT, clipped_BT * advantages_BT)
        if self.dual_clip is None:
            return surrogate_BT
        floor_BT = self.dual_clip * advantages_BT
        return torch.where(advantages_BT < 0, torch.maximum(surrogate_BT, floor_BT), surrogate_BT)
