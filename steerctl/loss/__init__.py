"""Surrogates: one per file; `reduction` turns token losses into one number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat

from steerctl.plugins import Plugin
from steerctl.tensors import masked_sum
from steerctl.types import Dials

if TYPE_CHECKING:
    from torch import Tensor

    from steerctl.types import TokenBatch, TokenStats


Clips = Literal["token", "weight", "sequence", "none"]
"""
token     the clip dials bound each token's ratio; past them a token has no gradient
weight    they bound each token's ratio; past them it keeps its gradient, at the bounded ratio
sequence  they bound one ratio per response; past them a response has no gradient
none      they are not read
"""


class Surrogate(Plugin):
    """The policy-gradient objective of one token, to be maximised.

    loss = Σ mask · scale · (penalty − weight · surrogate), scale from `loss/reduction.py`.
    """

    clip_ratio_low: NonNegativeFloat = 0.2
    """The ratio is held above 1 - clip_ratio_low (PPO, DAPO: 0.2)."""
    clip_ratio_high: NonNegativeFloat = 0.2
    """The ratio is held below 1 + clip_ratio_high (PPO: 0.2, DAPO's clip-higher: 0.28)."""
    clips: ClassVar[Clips] = "token"
    """What happens at the bounds; spec/combinations.py says which interventions need another loss."""
    plain_when_on_policy: ClassVar[bool] = False
    """True if, on the first update after sampling (ratio 1), the gradient is that of A·log π, whatever the settings."""

    def remarks(self, updates_per_step: int, reduction: str) -> Iterator[str]:  # noqa: ARG002 (none by default)
        """What leaves one of its settings without effect, or with another one than was meant: one line each."""
        yield from ()

    def neutral_dials(self, batch: TokenBatch) -> Dials:
        """The dials no intervention has turned: the estimator's advantages, weight 1, the spec's bounds, no penalty."""
        advantages_BT = batch.advantages_BT
        return Dials(
            advantages_BT=advantages_BT,
            weight_BT=advantages_BT.new_ones(advantages_BT.shape),
            clip_low_BT=advantages_BT.new_full(advantages_BT.shape, self.clip_ratio_low),
            clip_high_BT=advantages_BT.new_full(advantages_BT.shape, self.clip_ratio_high),
            penalty_BT=advantages_BT.new_zeros(advantages_BT.shape),
        )

    @abstractmethod
    def __call__(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The surrogate [B, T], gradient through `stats.logprobs_BT`; anything finite where the mask is False."""

    def slope(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """∂(Σ surrogate)/∂ log π(target) [B, T], detached: what stands before ∇log π, the weight aside; 0 elsewhere."""
        leaf_BT = stats.logprobs_BT.detach().requires_grad_()
        with torch.enable_grad():
            total = masked_sum(self(dials, batch, replace(stats, logprobs_BT=leaf_BT)), batch.loss_mask_BT)
        return torch.autograd.grad(total, leaf_BT)[0]
