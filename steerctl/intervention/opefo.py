"""OPEFO: the batch's rises and falls of entropy are scaled against each other until they cancel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from steerctl.entropy.change import Estimator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, change_measure, change_reads
from steerctl.intervention._fields import Fraction
from steerctl.intervention._remarks import Handles, OnlyWith, Surroundings, indicator_remarks
from steerctl.intervention._select import gather_ordered, scoped
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class Opefo(Intervention):
    """weight *= 1 + λ where Ω > 0 (entropy rises), 1 − λ where Ω < 0; tokens with Ω = 0 stay as they are. Detached.

        λ* = (Σ|Ω⁻| − ΣΩ⁺) / (Σ|Ω⁻| + ΣΩ⁺)    sums over the tokens of `scope`, 0 where nothing moves

    so that the predicted flow of entropy, (1 + λ*)ΣΩ⁺ − (1 − λ*)Σ|Ω⁻|, is 0: falls are damped and rises amplified while
    entropy falls, and the reverse. λ* lies in [−1, 1]; if every Ω has one sign, all those tokens get weight 0 (λ_max
    holds against it). Ω is the estimator of `entropy/change.py` with w = I_clip·r·A·weight. Factors touched: all four
    (clip by I_clip), as Ω reads them.

    Presets, each an entry of algorithm.interventions:

        paper: {kind: opefo}
        static: {kind: opefo, fixed_lambda: 0.001}

    Source: arXiv 2605.11491, read in published notes; no code found. Its runs are strictly on-policy (one update per
    step, 32 problems × 8), which by its own ablation is a large part of the gain; λ* was 0.00025 to 0.00175 there.

    Departures: (1) its printed form of Ω was not found: exact is the first-order change of a softmax state, as the
    notes describe it; (2) the batch is read as the update; (3) λ_max and estimators beside exact are ours; (4) I_clip
    and r count away from the first update, where the paper has none.
    """

    kind: Literal["opefo"] = "opefo"
    turns: ClassVar[Handles] = frozenset({"weight"})
    estimator: Estimator = "exact"
    """Form of Ω (paper: first order, softmax)."""
    fixed_lambda: Annotated[float, Field(ge=-1, le=1)] | None = None
    """λ itself, in place of λ* (the paper's ablation: 0.001)."""
    lambda_max: Annotated[Fraction, OnlyWith(fixed_lambda=None)] = 1.0
    """Largest |λ*| (ours; 1: no limit)."""
    scope: Annotated[Scope, OnlyWith(fixed_lambda=None)] = "update"
    """Tokens behind the sums (paper: the batch)."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's, or that of the step's start; alike in strictly on-policy runs."""
    use_clip_indicator: bool = True
    """Whether tokens that the clip leaves no gradient count as Ω = 0 (ours)."""

    @property
    def reads(self) -> Handles:
        """The coefficient of the predicted change."""
        return change_reads(use_clip_indicator=self.use_clip_indicator)

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """A lambda of 0, or a loss that clips otherwise."""
        if self.fixed_lambda == 0 or (self.fixed_lambda is None and self.lambda_max == 0):
            yield "does nothing with a lambda of 0"
        if self.use_clip_indicator:
            yield from indicator_remarks(around, "set use_clip_indicator: false")

    @property
    def population_scope(self) -> Scope:
        """As set, where sums are taken."""
        return self.scope if self.fixed_lambda is None else "micro_batch"

    def prepare(self, population: Population) -> Turn:
        """The turn that balances the population."""
        return scoped(self.population_scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        change = change_measure(
            self.estimator, population, entropy_source=self.entropy_source, use_clip_indicator=self.use_clip_indicator
        )
        balance = self.fixed_lambda
        if balance is None:
            change_N = gather_ordered(population, change).values[0].double()
            total = float(change_N.abs().sum())
            balance = -float(change_N.sum()) / total if total > 0 else 0.0
            balance = min(max(balance, -self.lambda_max), self.lambda_max)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            return weighted(dials, batch, 1 + balance * change(dials, batch, stats).sign())

        return turn
