"""Quadrant interventions: scale the loss of right and wrong, likely and unlikely tokens, each by its own factor."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, log
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from steerctl.entropy.change import quadrant
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, statistics_of
from steerctl.intervention._fields import Coefficient, Fraction
from steerctl.intervention._remarks import Handles, OnlyWith, Surroundings
from steerctl.intervention._select import scoped
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class Quadrant(Intervention):
    """Weight *= the factor of the token's quadrant; tokens with A = 0 are in none. Detached.

        1  A > 0, likely: entropy falls        2  A > 0, unlikely: entropy rises
        3  A < 0, unlikely: entropy falls      4  A < 0, likely: entropy rises

    boundary  likely means
    kappa           log π ≥ −H                       where the paper's δ changes sign
    exact           π(log π + H) ≥ S̄                 where the exact first-order change of entropy does
    fixed_p         π ≥ boundary_probability
    batch_quantile  π is not among the ⌊boundary_quantile·N⌋ smallest of the N tokens of `scope`

    Factors touched: advantage (its sign), probability, and entropy by the boundary.

    Presets, the paper's schemes, each an entry of algorithm.interventions; the paper does not give the factors:

        raise_weaken_1: {kind: quadrant, factor_1: 0.5}
        raise_strengthen_2: {kind: quadrant, factor_2: 1.5}
        raise_weaken_3: {kind: quadrant, factor_3: 0.5}
        raise_strengthen_4: {kind: quadrant, factor_4: 1.5}
        lower_strengthen_1: {kind: quadrant, factor_1: 1.5}
        lower_weaken_2: {kind: quadrant, factor_2: 0.5}
        lower_strengthen_3: {kind: quadrant, factor_3: 1.5}
        lower_weaken_4: {kind: quadrant, factor_4: 0.5}

    Source: arXiv 2510.10150 Fig. 6 (raising), Fig. 22 and 23; GRPO with clip 0.2/0.2; not in the released code.

    Departures: (1) the presets' factors 0.5 and 1.5 are ours; (2) so are all boundaries but kappa; (3) a token on the
    boundary counts as likely.
    """

    kind: Literal["quadrant"] = "quadrant"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    factor_1: Coefficient = 1.0
    """Of likely tokens with A > 0."""
    factor_2: Coefficient = 1.0
    """Of unlikely tokens with A > 0."""
    factor_3: Coefficient = 1.0
    """Of unlikely tokens with A < 0."""
    factor_4: Coefficient = 1.0
    """Of likely tokens with A < 0."""
    boundary: Literal["kappa", "exact", "fixed_p", "batch_quantile"] = "kappa"
    """What divides likely from unlikely (paper: kappa)."""
    boundary_probability: Annotated[Fraction, OnlyWith(boundary="fixed_p")] = 0.5
    """Least π of a likely token, at the sampling temperature."""
    boundary_quantile: Annotated[Fraction, OnlyWith(boundary="batch_quantile")] = 0.5
    """Share of unlikely tokens."""
    entropy_source: EntropySource = "old"
    """Whose π, H and S̄: those of the step's start, which hold still over its updates, or the current policy's."""
    scope: Annotated[Scope, OnlyWith(boundary="batch_quantile")] = "step"
    """Tokens behind the quantile."""

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """Equal factors."""
        if self.factor_1 == self.factor_2 == self.factor_3 == self.factor_4:
            does = "does nothing" if self.factor_1 == 1 else "only scales the learning rate"
            yield f"{does}: all four factors are {self.factor_1:g}"

    @property
    def population_scope(self) -> Scope:
        """As set, where a quantile is taken."""
        return self.scope if self.boundary == "batch_quantile" else "micro_batch"

    def prepare(self, population: Population) -> Turn:
        """The turn, with the quantile of its population if there is one."""
        return scoped(self.population_scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        threshold = self._threshold(population)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            likely_BT = self._is_likely(batch, stats, threshold)
            right_BT = torch.where(likely_BT, self.factor_1, self.factor_2)
            wrong_BT = torch.where(likely_BT, self.factor_4, self.factor_3)
            factor_BT = torch.where(dials.advantages_BT > 0, right_BT, wrong_BT)
            return weighted(dials, batch, factor_BT.masked_fill(dials.advantages_BT == 0, 1.0))

        return turn

    def _threshold(self, population: Population) -> float:
        """Least log π of a likely token, for the boundaries that are a number."""
        if self.boundary == "fixed_p":
            return log(self.boundary_probability) if self.boundary_probability else -inf
        if self.boundary != "batch_quantile":
            return -inf
        source = self.entropy_source
        logprobs_N = population.gather(lambda _dials, batch, stats: statistics_of(source, batch, stats).logprobs_BT)
        below = int(self.boundary_quantile * logprobs_N.numel())
        return float(logprobs_N.sort().values[below]) if below < logprobs_N.numel() else inf

    def _is_likely(self, batch: TokenBatch, stats: TokenStats, threshold: float) -> Tensor:
        source = statistics_of(self.entropy_source, batch, stats)
        logprobs_BT, entropy_BT = source.logprobs_BT.detach(), source.entropy_BT.detach()
        if self.boundary in ("kappa", "exact"):
            ones_BT = torch.ones_like(logprobs_BT)
            return quadrant(ones_BT, logprobs_BT, entropy_BT, source.mean_score_BT, boundary=self.boundary) == 1
        return logprobs_BT >= threshold
