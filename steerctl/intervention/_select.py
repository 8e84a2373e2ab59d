"""Picking tokens of a population by identity, so that neither ties, rounding nor the cut into micro-batches matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steerctl.entropy.change import Estimator
from steerctl.intervention import Measure, Population, Turn, View
from steerctl.intervention._change import change_measure
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

ROW_STRIDE = 2**32
"""Positions that fit below one row's identity."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The trained tokens of a population in the order of their identities, and one value of each per measure."""

    ids_N: Tensor
    values: tuple[Tensor, ...]


def token_ids(batch: TokenBatch) -> Tensor:
    """Identity of each position within the step [B, T], int64: row · 2³² + t, alike in every cut of the step."""
    positions_T = torch.arange(batch.loss_mask_BT.shape[1], device=batch.row_B.device)
    return batch.row_B[:, None] * ROW_STRIDE + positions_T


def gather_ordered(population: Population, *measures: Measure) -> Gathered:
    """Every trained token of the population, on every rank: sums over it are the same to the last bit in every cut."""
    ids_N = population.gather(lambda _dials, batch, _stats: token_ids(batch))
    order_N = ids_N.argsort()
    return Gathered(ids_N[order_N], tuple(population.gather(measure)[order_N] for measure in measures))


def by_response(gathered: Gathered, num_rows: int) -> tuple[Tensor, Tensor]:
    """Σ of the first measure over each row's trained tokens [R], float64, and the number of tokens [R]; on the CPU."""
    rows_N, values_N = gathered.ids_N.cpu() // ROW_STRIDE, gathered.values[0].cpu().double()
    sum_R = torch.bincount(rows_N, weights=values_N, minlength=num_rows).double()  # of nothing it is float32
    return sum_R, torch.bincount(rows_N, minlength=num_rows)


def values_at(batch: TokenBatch, ids_N: Tensor, values_N: Tensor) -> Tensor:
    """The value of each trained token of the batch [B, T], by identity; `ids_N` ascending and holding all of them."""
    if ids_N.numel() == 0:
        return torch.zeros_like(batch.loss_mask_BT, dtype=values_N.dtype)
    found_BT = torch.searchsorted(ids_N, token_ids(batch)).clamp(max=ids_N.numel() - 1)
    return torch.where(batch.loss_mask_BT, values_N[found_BT], torch.zeros((), dtype=values_N.dtype))


def largest(ids_N: Tensor, values_N: Tensor, count: int) -> Tensor:
    """Identities of the `count` largest values; among equals the smaller identity comes first."""
    return ids_N[values_N.argsort(descending=True, stable=True)[:count]]


def uniform_draws(seed: int, step: int, ids_N: Tensor) -> Tensor:
    """A number in [0, 1) for each identity, float64 on the CPU, that depends on (seed, step, row, position) alone.

    Source: SplitMix64's output function (Steele, Lea, Flood, OOPSLA 2014), applied to seed, step and identity in turn.
    """
    state_N = np.zeros(ids_N.numel(), dtype=np.uint64)
    for word in (np.uint64(seed), np.uint64(step), ids_N.cpu().numpy().astype(np.uint64)):
        state_N = _mixed(state_N ^ word)
    return torch.from_numpy((state_N >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(state_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state_N = state_N + _GOLDEN
    state_N = (state_N ^ (state_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state_N = (state_N ^ (state_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_N: NDArray[np.uint64] = state_N ^ (state_N >> np.uint64(31))
    return mixed_N


def entropy_reduction(estimator: Estimator, population: Population) -> Measure:
    """How much a token's update lowers entropy, −Ω [B, T], float64 for `covariance`; detached.

    covariance is that of Clip-Cov and KL-Cov: (A − mean A)(log π − mean log π), means over the population, A the dial
    as it stands, without ratio and clip. The others are `entropy/change.py`'s with w = r·A·weight.
    """
    if estimator != "covariance":
        change = change_measure(estimator, population, entropy_source="live", use_clip_indicator=False)
        return lambda dials, batch, stats: -change(dials, batch, stats)
    gathered = gather_ordered(
        population, lambda dials, *_: dials.advantages_BT, lambda _dials, _batch, stats: stats.logprobs_BT
    )
    mean_advantage, mean_logprob = (
        float(values_N.double().sum() / max(len(values_N), 1)) for values_N in gathered.values
    )

    @torch.no_grad()
    def covariance(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG001 (one signature)
        return (dials.advantages_BT.double() - mean_advantage) * (stats.logprobs_BT.double() - mean_logprob)

    return covariance


def scoped(scope: Scope, population: Population, make: Callable[[Population], Turn]) -> Turn:
    """`make`'s turn for the whole population, or one made anew from each micro-batch where that is the scope."""
    if scope != "micro_batch":
        return make(population)

    def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
        view = View(dials, batch, stats)
        alone = Population((view,), lambda value: [value], population.step, population.update)
        return make(alone)(dials, batch, stats)

    return turn
