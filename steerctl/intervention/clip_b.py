"""Clip_B: wrong tokens whose punishment would lower entropy most, beside the batch's average, get no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from steerctl.entropy.change import score
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._remarks import Handles, Surroundings, denominator_remarks
from steerctl.intervention._select import gather_ordered, scoped
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

MIN_DEVIATION = 1e-12
"""Below this spread of S no token stands out (code)."""


class ClipB(Intervention):
    """Weight *= 0 where A < 0 and S − mean S < −μ·std S; tokens with A ≥ 0 are all kept. Detached.

    S = π(log π + H): raising the token's logit lowers entropy by S − E_π[S], so punishing a token of very low S lowers
    it most. E_π[S], which depends on the state, is replaced by the mean over the tokens of `scope` (B for batch;
    `clip_v` takes E_π[S] itself); std has divisor N.

    denominator  selected  kept tokens are scaled by N/kept, so that token_mean is the mean over kept tokens
                 all       they are not

    Factors touched: probability, entropy, advantage (its sign).

    Source: arXiv 2602.03392; Trinity-RFT `trinity/algorithm/advantage_fn/clipb_advantage.py`,
    `examples/entropy/clipb.yaml` (μ 2.5, batch 64 × 16, GRPO without KL).

    Departures: (1) log π is the trainer's, where the code multiplies the sampler's probabilities into the trainer's
    entropy; (2) `selected` counts over `scope`, the code over whatever its loss averages; (3) scope and live
    statistics as settings are ours.
    """

    kind: Literal["clip_b"] = "clip_b"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    mu: PositiveFloat = 2.5
    """μ, in deviations (code and example 2.5); infinity drops none."""
    scope: Scope = "step"
    """Tokens behind mean, deviation and N (code: the step's whole batch)."""
    entropy_source: EntropySource = "old"
    """Whose π and H: those of the step's start (code), or the current policy's."""
    denominator: Literal["selected", "all"] = "selected"
    """What token_mean divides by (the code takes dropped tokens out of the mask: selected)."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Without a bound, or with another reduction."""
        if isinf(self.mu):
            yield "drops no token with an infinite mu"
        elif self.denominator == "selected":
            yield from denominator_remarks(around, "denominator selected")

    def prepare(self, population: Population) -> Turn:
        """The turn with the population's bound."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        gathered = gather_ordered(population, self._score, lambda dials, *_: dials.advantages_BT)
        score_N, advantages_N = gathered.values
        count = max(score_N.numel(), 1)
        mean = float(score_N.double().sum()) / count
        deviation = (float((score_N.double() - mean).square().sum()) / count) ** 0.5
        bound = mean - self.mu * deviation if deviation >= MIN_DEVIATION else -torch.inf
        kept = count - int(_is_dropped(score_N, advantages_N, bound).sum())
        scale = count / max(kept, 1) if self.denominator == "selected" else 1.0

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            score_BT = self._score(dials, batch, stats)
            factor_BT = torch.where(_is_dropped(score_BT, dials.advantages_BT, bound), 0.0, scale)
            return weighted(dials, batch, factor_BT)

        return turn

    def _score(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG002 (a measure)
        source = statistics_of(self.entropy_source, batch, stats)
        return score(source.logprobs_BT.detach(), source.entropy_BT.detach())


def _is_dropped(score_: Tensor, advantages: Tensor, bound: float) -> Tensor:
    return (advantages < 0) & (score_.double() < bound)
