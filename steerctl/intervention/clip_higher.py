"""Clip-higher: more room above the ratio than below it, so that unlikely tokens can grow."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat

from steerctl.intervention import Intervention
from steerctl.intervention._remarks import CLIP, Handles
from steerctl.types import Dials, TokenBatch, TokenStats


class ClipHigher(Intervention):
    """Hold the ratio in [1 − clip_ratio_low, 1 + clip_ratio_high] at every token.

    A token of probability q may grow to (1 + ε_high)·q in one step, a small amount where q is small: a higher ε_high
    lets rare right tokens grow, which raises entropy. Factor touched: the clip. Nothing happens on the first update of
    a step (r = 1), nor with a loss that has no clip.

    Source: DAPO, arXiv 2503.14476 §3.1; verl `clip_ratio_high`. Infinity switches a bound off.

    Departures: none; the same bounds can be set as loss.clip_ratio_low and loss.clip_ratio_high, this is the form for
    an ablation, and it may follow or precede other interventions.
    """

    kind: Literal["clip_higher"] = "clip_higher"
    inert_when_on_policy: ClassVar[bool] = True
    clip_ratio_high: NonNegativeFloat = 0.28
    """ε_high (DAPO 0.28; STEER's extreme setting 5)."""
    clip_ratio_low: NonNegativeFloat | None = None
    """ε_low (DAPO 0.2; STEER's extreme setting 0.99); None: what stood before, i.e. the loss's."""

    @property
    def turns(self) -> Handles:
        """The upper bound, and the lower where it is given."""
        return frozenset({"clip_high"}) if self.clip_ratio_low is None else CLIP

    @property
    def replaces(self) -> Handles:
        """Both alike."""
        return self.turns

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (one bound for all)
        """The dials with the clip's bounds replaced."""
        high_BT = torch.full_like(dials.clip_high_BT, self.clip_ratio_high)
        if self.clip_ratio_low is None:
            return replace(dials, clip_high_BT=high_BT)
        return replace(dials, clip_high_BT=high_BT, clip_low_BT=torch.full_like(dials.clip_low_BT, self.clip_ratio_low))
