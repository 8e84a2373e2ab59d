"""Entropy-shaped advantage: credit for tokens that were sampled where the policy was unsure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isinf
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from steerctl.intervention import Intervention
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.types import Dials, TokenBatch, TokenStats


class EntropyAdvantage(Intervention):
    """A += min(α·H, |A|/κ), H detached: right tokens get up to 1 + 1/κ times, wrong ones down to 1 − 1/κ times A.

    κ > 1 keeps the sign; A = 0 stays 0. The addition is never negative and is not centred again, so on the whole it
    favours likelihood; whether entropy rises or falls depends on how likely the favoured tokens were. Factors touched:
    advantage, entropy.

    Source: arXiv 2506.14758 (α 0.4, κ 2 with GRPO; α 0.1 with PPO), there with rewards ±1, clip-higher and token_mean.

    Departures: none known; no code was published. With `live`, A drifts over the updates of a step as H does; `old`
    holds it still (ours).
    """

    kind: Literal["entropy_advantage"] = "entropy_advantage"
    turns: ClassVar[Handles] = frozenset({"advantages"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.4
    """α, advantage per nat (paper: 0.4 with GRPO)."""
    kappa: Annotated[float, Field(gt=1)] = 2.0
    """κ: at most |A|/κ is added (paper 2)."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's (paper), or that of the step's start."""

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """Nothing is added."""
        if self.alpha == 0 or isinf(self.kappa):
            yield "does nothing: alpha 0 or an infinite kappa adds nothing to the advantages"

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
        """The dials with the advantages raised."""
        entropy_BT = statistics_of(self.entropy_source, batch, stats).entropy_BT.detach()
        bonus_BT = torch.minimum(self.alpha * entropy_BT, dials.advantages_BT.abs() / self.kappa)
        bonus_BT = torch.where(batch.loss_mask_BT, bonus_BT, torch.zeros_like(bonus_BT))
        return replace(dials, advantages_BT=dials.advantages_BT + bonus_BT)
