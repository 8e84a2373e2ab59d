"""GTPO: a token's reward grows with its share of the entropy among the responses of its kind at its position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PrivateAttr, model_validator
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Coefficient
from steerctl.intervention._remarks import Handles, Surroundings, group_remarks
from steerctl.intervention._select import ROW_STRIDE, gather_ordered, values_at
from steerctl.intervention._verdicts import Verdicts, remembered, standardised, totals
from steerctl.types import Dials, RolloutGroup, Scope, TokenBatch, TokenStats


class Gtpo(Intervention):
    """A = z-score of r̃; at response position t, which d right and h wrong responses of the group reach.

        right  r̃_it = α₁ + α₂·d·H_it/Σ_k H_kt
        wrong  r̃_jt = −α₁ − α₂·h·(1/H_jt)/Σ_k (1/H_kt)

    normalise  separate  mean and deviation over the group's right tokens, and over its wrong ones: α₁ cancels, and α₂
                         but for epsilon, and about half of the right tokens get A < 0
               together  over all tokens of the group (ours): right tokens stay above wrong ones as far as α₁ says

    H is that of the step's start, held in [entropy_min, entropy_max], detached. The estimator's advantages, reward
    shaping and what earlier interventions made of them play no part, so it stands first. A group that is all right or
    all wrong has advantages too. Factors touched: advantage, entropy.

    Presets, each an entry of algorithm.interventions:

        gtpo: {kind: gtpo}
        port: {kind: gtpo, entropy_min: 0.2, entropy_max: 0.28}

    Source: arXiv 2508.04349, as two independent third-party ports have it; no official code, and not the other GTPO
    (2508.03772). Clip 0.2, token_mean.

    Departures: (1) 1/H needs a least H; ours is 0.01, one port holds H in [0.2, 0.28]; (2) deviation with divisor n;
    (3) right is a verdict above 1/2, and its r is 1.
    """

    kind: Literal["gtpo"] = "gtpo"
    turns: ClassVar[Handles] = frozenset({"advantages"})
    replaces: ClassVar[Handles] = frozenset({"advantages", "rewards"})
    population_scope: ClassVar[Scope] = "step"
    alpha_1: Coefficient = 1.0
    """α₁ (ports 1.0)."""
    alpha_2: Coefficient = 0.1
    """α₂ (ports 0.1)."""
    normalise: Literal["separate", "together"] = "separate"
    """Tokens behind mean and deviation (ports: separate)."""
    entropy_min: PositiveFloat = 0.01
    """Least H, nats (ours)."""
    entropy_max: PositiveFloat | None = None
    """Largest H, nats; None: none."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation."""
    _verdicts: Verdicts | None = PrivateAttr(default=None)
    _turn: Turn | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Gtpo:
        if self.entropy_max is not None and self.entropy_max < self.entropy_min:
            raise ValueError("entropy_max must not be below entropy_min")
        return self

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Nothing to compare, or no entropy in the reward."""
        yield from group_remarks(around)
        if self.alpha_2 == 0 and (self.normalise == "separate" or self.alpha_1 == 0):
            yield f"trains nothing: with alpha_2 0 and normalise {self.normalise} every advantage is 0"
        if self.normalise == "separate" and self.alpha_1 != 1:
            yield "alpha_1 plays no part with normalise separate: it cancels"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their verdicts are noted."""
        self._verdicts, self._turn = Verdicts.of(groups), None
        return groups

    def prepare(self, population: Population) -> Turn:
        """The turn that sets the advantages of the step's tokens, the same in all its updates."""
        if self._turn is None:
            self._turn = self._turn_for(population)
        return self._turn

    def _turn_for(self, population: Population) -> Turn:
        gathered = gather_ordered(population, _old_entropy, _response_position)
        entropy_N, position_N = (values_N.cpu() for values_N in gathered.values)
        advantages_N = self._advantages(gathered.ids_N.cpu() // ROW_STRIDE, position_N, entropy_N.double())
        advantages_N = advantages_N.float().to(gathered.ids_N.device)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the step's start decides)
            return replace(dials, advantages_BT=values_at(batch, gathered.ids_N, advantages_N))

        return turn

    def _advantages(self, rows_N: Tensor, position_N: Tensor, entropy_N: Tensor) -> Tensor:
        verdicts = remembered(self._verdicts, self.kind)
        right_N, group_N = verdicts.values_R[rows_N] > 0.5, rows_N // verdicts.group_size
        side_N = 2 * group_N + right_N
        entropy_N = entropy_N.clamp(self.entropy_min, self.entropy_max)
        share_N = torch.where(right_N, entropy_N, 1 / entropy_N)
        place_N = side_N * ROW_STRIDE + position_N
        share_N = share_N * totals(torch.ones_like(share_N), place_N) / totals(share_N, place_N)
        reward_N = torch.where(right_N, 1.0, -1.0) * (self.alpha_1 + self.alpha_2 * share_N)
        return standardised(reward_N, side_N if self.normalise == "separate" else group_N, self.epsilon, 0)


def _old_entropy(_dials: Dials, batch: TokenBatch, _stats: TokenStats) -> Tensor:
    return batch.old_stats.entropy_BT


def _response_position(_dials: Dials, batch: TokenBatch, _stats: TokenStats) -> Tensor:
    return batch.loss_mask_BT.cumsum(dim=1)
