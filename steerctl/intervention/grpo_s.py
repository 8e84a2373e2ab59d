"""GRPO-S: a response's reward grows with its share of the mean entropy among the responses of its kind."""

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
from steerctl.intervention._select import by_response, gather_ordered
from steerctl.intervention._verdicts import Verdicts, of_rows, remembered, standardised, totals
from steerctl.types import Dials, RolloutGroup, Scope, TokenBatch, TokenStats


class GrpoS(Intervention):
    """A = z-score of r̃ within the group, with Ĥ_i the mean entropy of response i, and n right, m wrong responses.

        right  r̃_i = β₁ + β₂·n·Ĥ_i/Σ_k Ĥ_k
        wrong  r̃_j = −β₁ − β₂·m·(1/Ĥ_j)/Σ_k (1/Ĥ_k)

    Ĥ is that of the step's start, held in [entropy_min, entropy_max], detached. With β₂ = 0 it is GRPO. The estimator's
    advantages, reward shaping and what earlier interventions made of them play no part, so it stands first. In a group
    that is all right or all wrong, entropy alone decides, blown up to deviation 1. Factors touched: advantage, entropy.

    Presets, each an entry of algorithm.interventions:

        grpo_s: {kind: grpo_s}
        port: {kind: grpo_s, entropy_min: 0.2, entropy_max: 0.28}

    Source: arXiv 2508.04349, as two independent third-party ports have it; no official code. Clip 0.2.

    Departures: (1) 1/Ĥ needs a least Ĥ; ours is 0.01, one port holds H in [0.2, 0.28]; (2) the ratio is the loss's:
    theirs is the mean of the response's ratios, which with reduction seq_mean_token_mean is the same but for the clip,
    here token by token; (3) right is a verdict above 1/2, and its r is 1; (4) bounds hold Ĥ, not each H.
    """

    kind: Literal["grpo_s"] = "grpo_s"
    turns: ClassVar[Handles] = frozenset({"advantages"})
    replaces: ClassVar[Handles] = frozenset({"advantages", "rewards"})
    population_scope: ClassVar[Scope] = "step"
    beta_1: Coefficient = 1.0
    """β₁ (ports 1.0)."""
    beta_2: Coefficient = 0.1
    """β₂ (ports 0.1)."""
    entropy_min: PositiveFloat = 0.01
    """Least Ĥ, nats (ours)."""
    entropy_max: PositiveFloat | None = None
    """Largest Ĥ, nats; None: none."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation, which has divisor G − 1 as with GRPO."""
    _verdicts: Verdicts | None = PrivateAttr(default=None)
    _turn: Turn | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> GrpoS:
        if self.entropy_max is not None and self.entropy_max < self.entropy_min:
            raise ValueError("entropy_max must not be below entropy_min")
        return self

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Nothing to compare, or no entropy in the reward."""
        yield from group_remarks(around)
        if self.beta_2 == 0:
            yield "trains nothing with both betas 0" if self.beta_1 == 0 else "is plain GRPO with beta_2 0"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their verdicts are noted."""
        self._verdicts, self._turn = Verdicts.of(groups), None
        return groups

    def prepare(self, population: Population) -> Turn:
        """The turn that sets the advantages of the step's responses, the same in all its updates."""
        if self._turn is None:
            self._turn = self._turn_for(population)
        return self._turn

    def _turn_for(self, population: Population) -> Turn:
        gathered = gather_ordered(population, lambda _dials, batch, _stats: batch.old_stats.entropy_BT)
        verdicts = remembered(self._verdicts, self.kind)
        advantages_R = self._advantages(verdicts, *by_response(gathered, len(verdicts.values_R)))

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the step's start decides)
            return replace(dials, advantages_BT=of_rows(advantages_R, batch))

        return turn

    def _advantages(self, verdicts: Verdicts, entropy_R: Tensor, count_R: Tensor) -> Tensor:
        rows_S = count_R.nonzero()[:, 0]
        right_S, group_S = verdicts.values_R[rows_S] > 0.5, rows_S // verdicts.group_size
        entropy_S = (entropy_R[rows_S] / count_R[rows_S]).clamp(self.entropy_min, self.entropy_max)
        share_S = torch.where(right_S, entropy_S, 1 / entropy_S)
        side_S = 2 * group_S + right_S
        share_S = share_S * totals(torch.ones_like(share_S), side_S) / totals(share_S, side_S)
        reward_S = torch.where(right_S, 1.0, -1.0) * (self.beta_1 + self.beta_2 * share_S)
        advantages_R = torch.zeros_like(verdicts.values_R)
        return advantages_R.index_put((rows_S,), standardised(reward_S, group_S, self.epsilon, 1))
