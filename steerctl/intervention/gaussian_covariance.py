"""Gaussian-kernel covariance weights: tokens of extreme covariance are damped, the mean weight stays 1."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from steerctl.entropy.change import Estimator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.intervention._select import entropy_reduction, gather_ordered, scoped
from steerctl.intervention._weights import weighted
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

MIN_DEVIATION = 1e-12
"""Below this spread no token stands out; rounding could not tell."""


class GaussianCovariance(Intervention):
    """weight *= w·N/Σw, w = exp(−c²/(2·(bandwidth·σ)²)), σ the deviation of c over the N tokens of `scope`. Detached.

    c = (log π − mean log π)(A − mean A), means over the same tokens; w ≤ 1 falls with |c|, whichever way the token
    moves entropy, and the rescaling gives back on all tokens what the extreme ones lose. Where all c are alike σ is 0
    and weights stay. Factors touched: advantage, probability.

    Source: arXiv 2605.11538, read in published notes (the weight multiplies the advantage; GRPO with its KL term); no
    code found.

    Departures: (1) the batch is read as the update; (2) σ is about c's mean, divisor N; (3) c is of the current policy,
    as in Clip-Cov; (4) bandwidth, other forms of the entropy change than the covariance, and weights without rescaling
    are ours.
    """

    kind: Literal["gaussian_covariance"] = "gaussian_covariance"
    turns: ClassVar[Handles] = frozenset({"weight"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    bandwidth: PositiveFloat = 1.0
    """Width of the kernel in deviations of c (paper 1); infinity: no damping."""
    mean_preserving: bool = True
    """Whether weights are rescaled to a mean of 1 (paper: yes)."""
    estimator: Estimator = "covariance"
    """What stands for c (paper: covariance; the others: −Ω, nats per unit step of the logits)."""
    scope: Scope = "update"
    """Tokens behind means, σ and N (paper: the batch)."""

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """No damping."""
        if isinf(self.bandwidth):
            yield "does nothing with an infinite bandwidth"

    def prepare(self, population: Population) -> Turn:
        """The turn with the population's kernel."""
        return scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        measure = entropy_reduction(self.estimator, population)
        measure_N = gather_ordered(population, measure).values[0].double()
        count = max(measure_N.numel(), 1)
        sigma = float((measure_N - measure_N.sum() / count).square().sum() / count) ** 0.5
        if sigma < MIN_DEVIATION:
            return self.apply
        sigma *= self.bandwidth
        scale = float(_kernel(measure_N, sigma).sum()) / count if self.mean_preserving else 1.0

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            return weighted(dials, batch, _kernel(measure(dials, batch, stats), sigma) / (scale or 1.0))

        return turn


def _kernel(measure: Tensor, sigma: float) -> Tensor:
    """The weight before rescaling."""
    return torch.exp(-(measure / sigma).square() / 2)
