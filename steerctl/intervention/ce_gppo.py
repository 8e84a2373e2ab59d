"""CE-GPPO: clipped tokens keep a bounded gradient, one share of it below the interval and another above."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

import torch

from steerctl.intervention import Intervention
from steerctl.intervention._fields import Coefficient
from steerctl.intervention._remarks import CLIP, Handles, Surroundings
from steerctl.types import Dials, TokenBatch, TokenStats


class CeGppo(Intervention):
    """Where the clip would leave no gradient, the surrogate becomes β·bound·(r/sg[r])·A, gradient β·bound·A·∇log π.

        A < 0 and r < 1 − ε_low:  β₁, bound 1 − ε_low     rare wrong tokens, pushed down already: exploitation
        A > 0 and r > 1 + ε_high: β₂, bound 1 + ε_high    rare right tokens, pulled up already: exploration

    Turned as dials: such a token's clip is taken off and its weight multiplied by β·bound/r, detached, r being the
    ratio of the current policy. β = 0 leaves that side clipped as before. A, ε_low and ε_high are the dials as they
    stand. Factors touched: clip, and through it probability (rare tokens leave the interval first). Nothing happens on
    the first update of a step.

    Presets, each an entry of algorithm.interventions:

        script_7b: {kind: ce_gppo}
        script_1_5b: {kind: ce_gppo, beta_low: 0.5}
        config: {kind: ce_gppo, beta_low: 0.25}

    Source: arXiv 2509.20712; Kwai-Klear/CE-GPPO (README, `compute_gppo_loss_general_beta`), with clip 0.2/0.2 and dual
    clip 10 in its scripts.

    Departures: (1) meant for loss ppo_clip, whose ratio is per token; with the other losses the weight applies and the
    clip may not; (2) a ratio beyond e^±20 has no gradient, as in that loss; (3) β = 0, as said: theirs would also set
    the value, not the gradient, to 0.
    """

    kind: Literal["ce_gppo"] = "ce_gppo"
    inert_when_on_policy: ClassVar[bool] = True
    reads: ClassVar[Handles] = CLIP | {"advantages"}
    beta_low: Coefficient = 0.75
    """β₁ (README and 7B script 0.75, 1.5B script 0.5, config default 0.25)."""
    beta_high: Coefficient = 1.0
    """β₂ (README and scripts 1)."""

    @property
    def turns(self) -> Handles:
        """Weights, and the bounds it takes off."""
        return CLIP | {"weight"} if self.beta_low or self.beta_high else frozenset()

    @property
    def sets_bounds(self) -> bool:
        """It only takes them off."""
        return False

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Both shares 0, or a loss that clips otherwise."""
        if self.beta_low == 0 and self.beta_high == 0:
            yield "does nothing with both shares 0"
        elif around.clips != "token":
            yield f"gives clipped tokens back their gradient, as loss ppo_clip clips them; {around.loss} does not"

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
        """The dials with clipped tokens opened."""
        log_ratio_BT = stats.logprobs_BT.detach() - batch.old_stats.logprobs_BT
        ratio_BT = log_ratio_BT.clamp(-20, 20).exp()  # as the loss has it
        lowest_BT, highest_BT = 1 - dials.clip_low_BT, 1 + dials.clip_high_BT
        counts_BT = batch.loss_mask_BT
        low_BT = counts_BT & (dials.advantages_BT < 0) & (ratio_BT < lowest_BT) & (self.beta_low > 0)
        high_BT = counts_BT & (dials.advantages_BT > 0) & (ratio_BT > highest_BT) & (self.beta_high > 0)
        factor_BT = torch.where(low_BT, self.beta_low * lowest_BT / ratio_BT, torch.ones_like(ratio_BT))
        factor_BT = torch.where(high_BT, self.beta_high * highest_BT / ratio_BT, factor_BT)
        return replace(
            dials,
            weight_BT=dials.weight_BT * factor_BT.to(dials.weight_BT.dtype),
            clip_low_BT=dials.clip_low_BT.masked_fill(low_BT, torch.inf),
            clip_high_BT=dials.clip_high_BT.masked_fill(high_BT, torch.inf),
        )
