"""Gradients of the loss and of the mean entropy over one update, and their inner products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from steerctl.intervention import EntropyProducts, Turn, fold
from steerctl.loss import Surrogate
from steerctl.protocols import Policy
from steerctl.run.statistics import named_failure
from steerctl.types import Dials, Gradient, Need, TokenBatch, TokenStats, Update

Loss = Callable[[Dials, TokenBatch, TokenStats], Tensor]
"""Surrogate and reduction: the loss of one micro-batch."""


@dataclass(frozen=True)
class UpdateSlopes:
    """`intervention.Slopes` of one update, by the policy as it is now; nothing is computed before it is asked for.

    turns  of the interventions before the one that asks: the loss whose gradient counts is theirs
    """

    policy: Policy
    surrogate: Surrogate
    loss: Loss
    update: Update
    turns: Sequence[Turn]
    step: int

    @property
    def learning_rate(self) -> float:
        """η of the coming update."""
        return self.policy.learning_rate

    @cached_property
    def total_scale(self) -> float:
        """Σ mask·scale over the update and all ranks."""
        own = 0.0
        for batch in self.update.micro_batches:
            ones_BT = torch.ones_like(batch.advantages_BT)
            own += float(self.loss(self._only(ones_BT, batch), batch, batch.old_stats).double())
        return float(sum(self.policy.all_gather(own)))

    def products(self) -> EntropyProducts:
        """⟨g_F, P g⟩ and ⟨g_F, P g_F⟩."""
        loss, entropy = self._gradient(self._turned, frozenset({"entropy_grad"})), self._entropy_gradient
        direction = self.policy.preconditioned(entropy, loss)
        return EntropyProducts(self.policy.product(direction, loss), self.policy.product(direction, entropy))

    def sensitivities(self) -> Sequence[Tensor]:
        """⟨∇log π(target), P g_F⟩/total_scale [B, T] of each micro-batch."""
        direction = self.policy.preconditioned(self._entropy_gradient)
        total = max(self.total_scale, 1e-30)
        return [slope_BT / total for slope_BT in self.policy.slopes(direction, self.update.micro_batches)]

    @cached_property
    def _entropy_gradient(self) -> Gradient:
        return self._gradient(lambda batch, stats: self._only(stats.entropy_BT, batch), frozenset({"entropy_grad"}))

    def _gradient(self, dials: Callable[[TokenBatch, TokenStats], Dials], needs: frozenset[Need]) -> Gradient:
        with named_failure(self.step, self.update):
            for batch in self.update.micro_batches:
                stats = self.policy.forward(batch, needs)
                self.policy.backward(self.loss(dials(batch, stats), batch, stats))
            return self.policy.take_gradient()

    def _turned(self, batch: TokenBatch, stats: TokenStats) -> Dials:
        return fold(self.turns, self.surrogate.neutral_dials(batch), batch, stats)

    def _only(self, penalty_BT: Tensor, batch: TokenBatch) -> Dials:
        """Dials under which the loss is Σ mask·scale·penalty."""
        dials = self.surrogate.neutral_dials(batch)
        return replace(dials, weight_BT=torch.zeros_like(dials.weight_BT), penalty_BT=penalty_BT)
