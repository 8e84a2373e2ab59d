"""W-REINFORCE with its halves PSR and NSR: advantages from the verdict's sign, no baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Coefficient
from steerctl.intervention._remarks import Handles, Surroundings, denominator_remarks, uniform_groups_remarks
from steerctl.intervention._verdicts import Verdicts, of_rows, remembered
from steerctl.types import Dials, RolloutGroup, Scope, TokenBatch, TokenStats


class WReinforce(Intervention):
    """A = positive_coef on tokens of right responses, −negative_coef on those of wrong ones. Detached.

    The estimator's advantages, group baseline and reward shaping play no part: every right response pulls, in groups
    that are all right too, and every wrong one pushes. The pull's share is positive_coef · accuracy, so it grows as the
    policy learns; pushing alone keeps entropy up until, late, it breaks down. Factor touched: advantage (its sign). It
    replaces what earlier interventions made of the advantages, so it stands first.

    denominator  all       rows of coefficient 0 stay in the loss's denominator, as rows with advantage 0 do elsewhere
                 selected  they are dropped, as released: the weights of the others are scaled by all tokens of the step
                           over those with A ≠ 0, so that token_mean is their mean

    Presets, each an entry of algorithm.interventions:

        w_reinforce: {kind: w_reinforce}
        psr: {kind: w_reinforce, positive_coef: 1.0, negative_coef: 0.0, denominator: selected}
        nsr: {kind: w_reinforce, positive_coef: 0.0, negative_coef: 1.0, denominator: selected}

    Source: arXiv 2506.01347; TianHongZXY/RLVR-Decomposed `compute_psr_nsr_outcome_advantage`.

    Departures: (1) a verdict v between 0 and 1 gets v·positive_coef − (1 − v)·negative_coef; (2) dropped rows do not
    change which rows share an update, where the code drops, cuts to a divisible number and then deals them out.
    """

    kind: Literal["w_reinforce"] = "w_reinforce"
    replaces: ClassVar[Handles] = frozenset({"advantages", "rewards"})
    positive_coef: Coefficient = 0.1
    """λ (W-REINFORCE 0.1, PSR 1, NSR 0)."""
    negative_coef: Coefficient = 1.0
    """Of wrong responses (W-REINFORCE and NSR 1, PSR 0)."""
    denominator: Literal["all", "selected"] = "all"
    """Whether rows of coefficient 0 count."""
    _verdicts: Verdicts | None = PrivateAttr(default=None)

    @property
    def turns(self) -> Handles:
        """The advantages, and the weights where rows are dropped."""
        return frozenset({"advantages", "weight"}) if self.denominator == "selected" else frozenset({"advantages"})

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Coefficients, denominators and groups that play no part."""
        if self.positive_coef == 0 and self.negative_coef == 0:
            yield "trains nothing with both coefficients 0"
        if self.denominator == "selected" and self.positive_coef > 0 and self.negative_coef > 0:
            yield "denominator selected drops no row: neither coefficient is 0"
        elif self.denominator == "selected":
            yield from denominator_remarks(around, "denominator selected")
        yield from uniform_groups_remarks(around)

    @property
    def population_scope(self) -> Scope:
        """Only `selected` counts tokens."""
        return "step" if self.denominator == "selected" else "micro_batch"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their verdicts are noted."""
        self._verdicts = Verdicts.of(groups)
        return groups

    def prepare(self, population: Population) -> Turn:
        """The turn for this step's verdicts."""
        values_R = remembered(self._verdicts, self.kind).values_R
        values_R = values_R * self.positive_coef - (1 - values_R) * self.negative_coef

        def advantages(_dials: Dials, batch: TokenBatch, _stats: TokenStats) -> Tensor:
            return of_rows(values_R, batch)

        scale = 1.0
        if self.denominator == "selected":
            advantages_N = population.gather(advantages)
            scale = advantages_N.numel() / max(int(advantages_N.count_nonzero()), 1)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            advantages_BT = advantages(dials, batch, stats)
            weight_BT = torch.where(advantages_BT != 0, dials.weight_BT * scale, dials.weight_BT)
            return replace(dials, advantages_BT=advantages_BT, weight_BT=weight_BT)

        return turn
