"""Entropy target: token weights as near to 1 as can be that give the batch a prescribed flow of entropy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, model_validator

from steerctl.entropy.change import Estimator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._change import EntropySource, change_measure, change_reads
from steerctl.intervention._kkt import kkt_multiplier
from steerctl.intervention._remarks import Handles, OnlyWith, Surroundings, indicator_remarks
from steerctl.intervention._select import gather_ordered, scoped
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class EntropyTarget(Intervention):
    """weight *= λ, λ the solution of a small convex problem.

        minimise ½ Σ_t (λ_t − 1)²  subject to  Σ_t λ_t Ω_t = F,  weight_min ≤ λ_t ≤ weight_max

    over the N trained tokens of `scope`, Ω the predicted entropy change of `entropy/change.py` with
    w = I_clip·r·A·weight. A convex problem with one equality: by its KKT conditions

        λ_t = clamp(1 + μ·Ω_t, weight_min, weight_max)

    with one μ for all tokens, the root of Σ_t clamp(1 + μΩ_t)Ω_t = F, which grows with μ and is linear between tokens'
    bounds; without bounds μ = (F − ΣΩ)/ΣΩ². Where F is out of reach every token stands at its nearer bound. Detached.

    flow      F
    fraction  flow_fraction · Σ Ω: 0 lets nothing flow (OPEFO's aim, at the least departure), 1 is the baseline, a value
              between lets that share of the change through
    set_point N·T/η with T = gain·(H* − H̄): by how much the mean entropy shall move in this update. With estimator
              influence only, whose Ω are nats of the mean entropy per unit η, interference included

    Factors touched: all four, as Ω reads them.

    Source: our own.

    Departures: (1) set_point leaves out momentum and gradient clipping, as entropy_projection does.
    """

    kind: Literal["entropy_target"] = "entropy_target"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = change_reads(use_clip_indicator=True)
    estimator: Estimator = "exact"
    """Form of Ω."""
    flow: Literal["fraction", "set_point"] = "fraction"
    """What F is."""
    flow_fraction: Annotated[float, OnlyWith(flow="fraction")] = 0.0
    """Share of the predicted change that is let through."""
    entropy_target: Annotated[NonNegativeFloat, OnlyWith(flow="set_point")] = 0.2
    """H*, nats."""
    gain: Annotated[float, Field(gt=0, le=1), OnlyWith(flow="set_point")] = 0.2
    """Share of H* − H̄ that one update is to bring back."""
    only_falling: bool = False
    """Whether weights stay 1 where the predicted flow is F or more already."""
    weight_min: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least λ."""
    weight_max: Annotated[float, Field(ge=1)] = 2.0
    """Largest λ; infinity: none."""
    scope: Scope = "update"
    """Tokens behind the sums."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's, or that of the step's start."""

    @model_validator(mode="after")
    def _units_agree(self) -> EntropyTarget:
        if self.flow == "set_point" and self.estimator != "influence":
            raise ValueError("flow set_point needs estimator influence: the others are not in nats of the mean entropy")
        return self

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Weights that stay 1, or a loss that clips otherwise."""
        if self.weight_min == self.weight_max or (self.flow == "fraction" and self.flow_fraction == 1):
            yield "does nothing with weights held at 1, or a flow_fraction of 1"
        yield from indicator_remarks(around, "take a loss that clips by token")

    def prepare(self, population: Population) -> Turn:
        """The turn with the population's μ."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        change = change_measure(self.estimator, population, entropy_source=self.entropy_source, use_clip_indicator=True)
        gathered = gather_ordered(population, change, lambda _dials, _batch, stats: stats.entropy_BT)
        change_N, entropy_N = (values_N.double() for values_N in gathered.values)
        flow = self.flow_fraction * float(change_N.sum())
        if self.flow == "set_point" and population.slopes is not None:
            flow = self.gain * float((self.entropy_target - entropy_N).sum()) / population.slopes.learning_rate
        enough = self.only_falling and float(change_N.sum()) >= flow
        multiplier = 0.0 if enough else kkt_multiplier(change_N, flow, self.weight_min, self.weight_max)
        if multiplier == 0:
            return super().apply

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            moved_BT = (multiplier * change(dials, batch, stats).double()).nan_to_num(nan=0.0)
            return weighted(dials, batch, (1 + moved_BT).clamp(self.weight_min, self.weight_max))

        return turn
