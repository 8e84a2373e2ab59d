"""Quadrant interventions: scale the loss of right and wrong, likely and unlikely tokens, each by its own factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, log
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.entropy.change import quadrant
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource
from steerctl.intervention._remarks import Handle, Surroundings, unread
from steerctl.intervention._select import scoped
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


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
    factor_1: Factor = 1.0
    """Of likely tokens with A > 0."""
    factor_2: Factor = 1.0
    """Of unlikely tokens with A > 0."""
    factor_3: Factor = 1.0
    """Of unlikely tokens with A < 0."""
    factor_4: Factor = 1.0
    """Of likely tokens with A < 0."""
    boundary: Literal["kappa", "exact", "fixed_p", "batch_quantile"] = "kappa"
    """What divides likely from unlikely (paper: kappa)."""
    boundary_probability: Fraction = 0.5
    """Of fixed_p; π is at the sampling temperature."""
    boundary_quantile: Fraction = 0.5
    """Of batch_quantile: the share of unlikely tokens."""
    entropy_source: EntropySource = "old"
    """Whose π, H and S̄: those of the step's start, which hold still over its updates, or the current policy's."""
    scope: Scope = "step"
    """Tokens behind the quantile; the other boundaries need none."""

    @property
    def turns(self) -> frozenset[Handle]:
        """The weights."""
        return frozenset({"weight"})

    @property
    def reads(self) -> frozenset[Handle]:
        """Their sign."""
        return frozenset({"advantages"})

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """Equal factors, or settings of another boundary."""
        if self.factor_1 == self.factor_2 == self.factor_3 == self.factor_4:
            does = "does nothing" if self.factor_1 == 1 else "only scales the learning rate"
            yield f"{does}: all four factors are {self.factor_1:g}"
        fixed, quantile = self.boundary == "fixed_p", self.boundary == "batch_quantile"
        moved = {"boundary_probability": not fixed and self.boundary_probability != 0.5}
        moved |= {"boundary_quantile": not quantile and self.boundary_quantile != 0.5}
        moved |= {"scope": not quantile and self.scope != "step"}
        yield from unread(moved, f"with boundary {self.boundary}")

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
            positive_BT, likely_BT = dials.advantages_BT > 0, self._is_likely(self._source(batch, stats), threshold)
            factor_BT = torch.where(
                positive_BT,
                torch.where(likely_BT, self.factor_1, self.factor_2),
                torch.where(likely_BT, self.factor_4, self.factor_3),
            )
            counts_BT = batch.loss_mask_BT & (dials.advantages_BT != 0)
            return replace(dials, weight_BT=torch.where(counts_BT, dials.weight_BT * factor_BT, dials.weight_BT))

        return turn

    def _source(self, batch: TokenBatch, stats: TokenStats) -> TokenStats:
        return batch.old_stats if self.entropy_source == "old" else stats

    def _threshold(self, population: Population) -> float:
        """Least log π of a likely token, for the boundaries that are a number."""
        if self.boundary == "fixed_p":
            return log(self.boundary_probability) if self.boundary_probability else -inf
        if self.boundary != "batch_quantile":
            return -inf
        logprobs_N = population.gather(lambda _dials, batch, stats: self._source(batch, stats).logprobs_BT)
        below = int(self.boundary_quantile * logprobs_N.numel())
        return float(logprobs_N.sort().values[below]) if below < logprobs_N.numel() else inf

    def _is_likely(self, source: TokenStats, threshold: float) -> Tensor:
        logprobs_BT, entropy_BT = source.logprobs_BT.detach(), source.entropy_BT.detach()
        if self.boundary in ("kappa", "exact"):
            ones_BT = torch.ones_like(logprobs_BT)
            return quadrant(ones_BT, logprobs_BT, entropy_BT, source.mean_score_BT, boundary=self.boundary) == 1
        return logprobs_BT >= threshold
