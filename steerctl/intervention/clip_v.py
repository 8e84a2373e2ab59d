"""Clip_V: the few wrong tokens whose punishment would lower entropy most, beside their own state, get no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from steerctl.entropy.change import score
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._remarks import Handles, Surroundings, denominator_remarks
from steerctl.intervention._select import gather_ordered, largest, scoped, token_ids
from steerctl.intervention._weights import weighted
from steerctl.intervention.clip_b import MIN_DEVIATION
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class ClipV(Intervention):
    """Weight *= 0 where A < 0 and x > μ·std x, x = S̄ − S, on the max(1, ⌊fraction·N⌋) tokens of largest x at most.

    S = π(log π + H), S̄ = Σ_b π_b²(log π_b + H) = E_π[S] over the vocabulary (V): −x is how much raising the token's
    logit lowers its state's entropy, exactly to first order, so punishing it lowers entropy by x per unit |w|. std has
    divisor N, is taken about the mean of x, and x itself is not centred. Detached.

    denominator  selected  kept tokens are scaled by N/kept, so that token_mean is the mean over kept tokens
                 all       they are not

    Factors touched: probability, entropy, advantage (its sign).

    Source: arXiv 2602.03392; Trinity-RFT `trinity/algorithm/advantage_fn/clipv_advantage.py`,
    `examples/entropy/clipv.yaml` (μ 8.5, batch 64 × 8, GRPO without KL).

    Departures: (1) tokens with A = 0 are kept, where the code, below its cap, also takes those out of the denominator;
    (2) `selected` counts over `scope`, the code over whatever its loss averages; (3) among equal x the token with the
    smaller index is dropped; (4) scope and live statistics as settings are ours.
    """

    kind: Literal["clip_v"] = "clip_v"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    mu: PositiveFloat = 8.5
    """μ, in deviations (the code's default_args and example 8.5, its function default 2; paper 7.5 to 8.5)."""
    max_fraction: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Largest share of tokens that is dropped, though one may always be unless this is 0 (code 1e-4)."""
    scope: Scope = "step"
    """Tokens behind deviation, cap and N (code: the step's whole batch)."""
    entropy_source: EntropySource = "old"
    """Whose π, H and S̄: those of the step's start (code), or the current policy's."""
    denominator: Literal["selected", "all"] = "selected"
    """What token_mean divides by (the code takes dropped tokens out of the mask: selected)."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Without a bound, or with another reduction."""
        if isinf(self.mu) or self.max_fraction == 0:
            yield f"drops no token with mu {self.mu:g} and max_fraction {self.max_fraction:g}"
        elif self.denominator == "selected":
            yield from denominator_remarks(around, "denominator selected")

    def prepare(self, population: Population) -> Turn:
        """The turn that drops the population's worst tokens."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        gathered = gather_ordered(population, self._excess, lambda dials, *_: dials.advantages_BT)
        excess_N, advantages_N = gathered.values[0].double(), gathered.values[1]
        count = max(excess_N.numel(), 1)
        deviation = float((excess_N - excess_N.sum() / count).square().sum() / count) ** 0.5
        eligible_N = (advantages_N < 0) & (excess_N > self.mu * deviation) & (deviation >= MIN_DEVIATION)
        most = max(int(self.max_fraction * count), 1) if self.max_fraction else 0
        dropped_N = largest(gathered.ids_N[eligible_N], excess_N[eligible_N], most)
        scale = count / max(count - dropped_N.numel(), 1) if self.denominator == "selected" else 1.0

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (chosen already)
            factor_BT = torch.where(torch.isin(token_ids(batch), dropped_N), 0.0, scale)
            return weighted(dials, batch, factor_BT)

        return turn

    def _excess(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG002 (a measure)
        source = statistics_of(self.entropy_source, batch, stats)
        return source.mean_score_BT - score(source.logprobs_BT.detach(), source.entropy_BT.detach())
