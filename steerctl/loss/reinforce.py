"""REINFORCE: the advantage times the log-probability, no ratio, no clip."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from steerctl.loss import Surrogate
from steerctl.types import Dials, TokenBatch, TokenStats


class Reinforce(Surrogate):
    """surrogate = A · log π, gradient A·∇log π whatever the policy that sampled.

    It equals `ppo_clip`'s gradient on the first update of a step (r = 1) and is biased on later ones: meant for
    optim.updates_per_step 1. The clip dials, clip_ratio_low and clip_ratio_high have no effect.

    Source: GPG, arXiv 2504.02546; AMAP-ML/GPG `gpg_trainer.py`; verl `core_algos` (gpg policy loss).
    """

    kind: Literal["reinforce"] = "reinforce"

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG002 (needs no ratio)
        """The surrogate [B, T]."""
        return dials.advantages_BT * stats.logprobs_BT
