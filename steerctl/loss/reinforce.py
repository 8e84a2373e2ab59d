"""REINFORCE: the advantage times the log-probability, no ratio, no clip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor

from steerctl.loss import Clips, Surrogate
from steerctl.types import Dials, TokenBatch, TokenStats


class Reinforce(Surrogate):
    """surrogate = A · log π, gradient A·∇log π whatever the policy that sampled.

    It equals `ppo_clip`'s gradient on the first update of a step (r = 1) and is biased on later ones: meant for
    optim.updates_per_step 1. The clip dials, clip_ratio_low and clip_ratio_high have no effect.
    Factors touched: clip (taken away).

    Source: GPG, arXiv 2504.02546; AMAP-ML/GPG `gpg_trainer.py`; verl `core_algos` (gpg policy loss).

    Departures: none.
    """

    kind: Literal["reinforce"] = "reinforce"
    clips: ClassVar[Clips] = "none"

    def remarks(self, updates_per_step: int, reduction: str) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """More than one update."""
        if updates_per_step > 1:
            text = "is biased from the second update of a step on, having no ratio"
            yield f"{text}: optim.updates_per_step is {updates_per_step}; take 1, or loss no_clip"

    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG002 (needs no ratio)
        """The surrogate [B, T]."""
        return dials.advantages_BT * stats.logprobs_BT
