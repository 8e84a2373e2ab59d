"""Clip-Cov: a few random tokens among those that lower entropy most get no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from steerctl.entropy.change import Estimator, clip_indicator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._remarks import CLIP, Handles, Surroundings, indicator_remarks
from steerctl.intervention._select import entropy_reduction, gather_ordered, largest, scoped, token_ids, uniform_draws
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class ClipCov(Intervention):
    """Weight *= 0 on max(1, ⌊ratio·N⌋) tokens drawn from those with lb < cov < ub that the clip lets through.

    cov = (A − mean A)(log π − mean log π), means over the N trained tokens of `scope`; detached. The draw is uniform
    without replacement and depends on (seed, step, row, position) alone. Dropped tokens stay in the loss's denominator.
    Factors touched: probability, advantage. It acts on the first update of a step too.

    Presets, each an entry of algorithm.interventions:

        paper: [{kind: clip_higher, clip_ratio_low: 1.0, clip_ratio_high: 1.0}, {kind: clip_cov}]
        released: [{kind: clip_higher, clip_ratio_low: 1.0, clip_ratio_high: 1.0}, {kind: clip_cov, scope: micro_batch}]

    Source: arXiv 2505.22617; PRIME-RL/Entropy-Mechanism-of-RL and verl `core_algos` (clip_cov), without dual clip.

    Departures: (1) from the code: the population is the update on all ranks, theirs a micro-batch, so that here one
    token is dropped at least per update; (2) ratio 0 drops none (code: one); (3) other forms of the entropy change than
    the covariance are ours, and need other bounds: −Ω, nats per unit step of the logits, stands for cov.
    """

    kind: Literal["clip_cov"] = "clip_cov"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = CLIP | {"advantages"}
    clip_cov_ratio: Annotated[float, Field(ge=0, le=1)] = 2e-4
    """Share of all tokens that is dropped (paper and verl 2e-4)."""
    clip_cov_lb: float = 1.0
    """Tokens with a covariance up to this are left alone (paper and verl 1)."""
    clip_cov_ub: float = 5.0
    """So are those from this on (paper and verl 5)."""
    estimator: Estimator = "covariance"
    """Form of the entropy change (paper: covariance)."""
    scope: Scope = "update"
    """Tokens behind means, N and draw (the code: one micro-batch of one rank)."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Of the draw."""

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> ClipCov:
        if not self.clip_cov_lb < self.clip_cov_ub:
            raise ValueError("clip_cov_lb must be below clip_cov_ub")
        return self

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Without a draw, or with a loss that clips otherwise."""
        if self.clip_cov_ratio == 0:
            yield "drops no token with clip_cov_ratio 0"
        else:
            yield from indicator_remarks(around, "it may draw other tokens than were meant; take loss ppo_clip")

    def prepare(self, population: Population) -> Turn:
        """The turn that drops the drawn tokens."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        gathered = gather_ordered(population, entropy_reduction(self.estimator, population), _passes)
        reduction_N, passes_N = gathered.values
        eligible_N = passes_N & (reduction_N > self.clip_cov_lb) & (reduction_N < self.clip_cov_ub)
        count = int(self.clip_cov_ratio * gathered.ids_N.numel())
        count = max(count, 1) if self.clip_cov_ratio else 0
        candidates_N = gathered.ids_N[eligible_N]
        draws_N = uniform_draws(self.seed, population.step, candidates_N).to(candidates_N.device)
        dropped_N = largest(candidates_N, draws_N, count)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (chosen already)
            dropped_BT = torch.isin(token_ids(batch), dropped_N) & batch.loss_mask_BT
            return replace(dials, weight_BT=dials.weight_BT.masked_fill(dropped_BT, 0.0))

        return turn


def _passes(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
    ratio_BT = (stats.logprobs_BT - batch.old_stats.logprobs_BT).exp()
    return clip_indicator(ratio_BT, dials.advantages_BT, dials.clip_low_BT, dials.clip_high_BT)
