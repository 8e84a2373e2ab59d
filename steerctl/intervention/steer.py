"""STEER: damp the tokens whose own update would change their state's entropy most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, model_validator

from steerctl.entropy.change import Estimator
from steerctl.intervention import Intervention, Population, Turn, View
from steerctl.intervention._change import EntropySource, Sign, change_measure, change_reads, magnitude
from steerctl.intervention._fields import Fraction
from steerctl.intervention._remarks import Handles, OnlyWith, Surroundings, denominator_remarks, indicator_remarks
from steerctl.intervention._weights import WeightMapping, weigher, weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class Steer(Intervention):
    """weight *= λ(m), m = |Ω| the predicted entropy change of the token's state; λ has no gradient.

    exponential  λ = exp(−k·m), k = −ln λ_min / max(max |m|, floor), held in [λ_min, λ_max]
    linear       λ = λ_max − (λ_max − λ_min)(m − min m)/(max m − min m); the midpoint where all m are equal
    binary       λ = λ_min on the binary_fraction of tokens with the largest m > 0, λ_max elsewhere

    max and min are over the trained tokens of `scope`. Ω is the estimator of `entropy/change.py` with w = I_clip·r·A.
    `sign` makes m of it: |Ω|, max(−Ω, 0), max(Ω, 0), or −Ω (asymmetric: falling entropy is damped, rising amplified
    up to λ_max). All four factors: clip (I_clip), advantage, probability, entropy.

    Presets, each an entry of algorithm.interventions:

        paper_v4: {kind: steer}
        paper_v1: {kind: steer, estimator: squared}
        released: &released {kind: steer, estimator: released, weight_min: 0.8, scope: micro_batch,
                             entropy_source: old, use_clip_indicator: false, floor: 0.02}
        released_linear: {<<: *released, mapping: linear, weight_max: 1.2}
        released_asymmetric: {<<: *released, sign: asymmetric}

    Source: arXiv 2510.10150 v4 Eq. 6-9, v1 Eq. 8-14; zz-haooo/STEER b31df71 `verl/trainer/ppo/core_algos.py`,
    `run/run_exp.sh`, `run/run_linear.sh` (with clip 0.2/0.28, dual clip 10); asymmetric: 08add1cc, same file.

    Departures: (1) Ω is the sampled token's term of the paper's sum over the vocabulary; (2) η and 1/L are left out:
    they cancel in m/max m, though not against a floor; (3) the paper's batch is read as the update; (4) binary is
    ours, the paper names it only; (5) weights of earlier interventions count in w, 1 if there are none.
    """

    kind: Literal["steer"] = "steer"
    turns: ClassVar[Handles] = frozenset({"weight"})
    estimator: Estimator = "own_logit"
    """Form of Ω (v4's δ; v1's is squared, the code's released)."""
    mapping: WeightMapping = "exponential"
    """From m to λ (v4 Eq. 9; the others are in its Table 11)."""
    weight_min: Fraction = 0.7
    """λ_min (v4 §6.1; scripts 0.8)."""
    weight_max: Annotated[float, Field(ge=1)] = 1.0
    """λ_max (v4 and run_exp.sh; run_linear.sh 1.2); exponential exceeds 1 only where sign is asymmetric."""
    binary_fraction: Annotated[Fraction, OnlyWith(mapping="binary")] = 0.01
    """Share of tokens that are damped (ours)."""
    sign: Sign = "both"
    """Which changes count (paper: both)."""
    scope: Scope = "update"
    """Tokens behind max, min, quantile and means (the code: one micro-batch of one rank)."""
    entropy_source: EntropySource = "live"
    """Whose entropy: the current policy's (paper), or that of the step's start (the code)."""
    use_clip_indicator: bool = True
    """Ω = 0 where the clip leaves no gradient (v4 Eq. 6; not in the code)."""
    floor: Annotated[NonNegativeFloat, OnlyWith(mapping="exponential")] = 0.0
    """Least max m (paper: none; the code 0.02)."""
    denominator: Literal["all", "sum_weight"] = "all"
    """all: λ as it is; sum_weight: λ over its mean in `scope`, as if token_mean divided by Σλ (ours)."""

    @model_validator(mode="after")
    def _weights_stay_positive(self) -> Steer:
        if self.weight_min == 0 and (self.mapping == "exponential" or self.denominator == "sum_weight"):
            raise ValueError("weight_min must be above 0 with mapping exponential or denominator sum_weight")
        return self

    @property
    def reads(self) -> Handles:
        """The coefficient of the predicted change."""
        return change_reads(use_clip_indicator=self.use_clip_indicator)

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Weights that are all 1, or never above it, and a loss that clips otherwise."""
        if self.weight_min == 1 and self.weight_max == 1:
            yield "does nothing with weight_min 1 and weight_max 1"
        if self.mapping == "exponential" and self.weight_max > 1 and self.sign != "asymmetric":
            yield f"weight_max plays no part with mapping exponential and sign {self.sign}: no weight exceeds 1"
        if self.mapping == "binary" and self.binary_fraction == 0:
            yield "damps no token with binary_fraction 0"
        if self.use_clip_indicator:
            yield from indicator_remarks(around, "set use_clip_indicator: false")
        if self.denominator == "sum_weight":
            yield from denominator_remarks(around, "denominator sum_weight")

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
        """The dials with λ from this micro-batch alone."""
        return self._turn(Population.alone(View(dials, batch, stats)))(dials, batch, stats)

    def prepare(self, population: Population) -> Turn:
        """The turn with the population's statistics, or `apply` where each micro-batch is its own population."""
        return self.apply if self.scope == "micro_batch" else self._turn(population)

    def _turn(self, population: Population) -> Turn:
        change = change_measure(
            self.estimator, population, entropy_source=self.entropy_source, use_clip_indicator=self.use_clip_indicator
        )
        measure_N = magnitude(population.gather(change), self.sign)
        if measure_N.numel() == 0:
            return super().apply
        low, high, floor, fraction = self.weight_min, self.weight_max, self.floor, self.binary_fraction
        weigh = weigher(self.mapping, measure_N, low=low, high=high, floor=floor, fraction=fraction)
        mean = float(weigh(measure_N).double().mean()) if self.denominator == "sum_weight" else 1.0

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            return weighted(dials, batch, weigh(magnitude(change(dials, batch, stats), self.sign)) / mean)

        return turn
