"""The predicted entropy change of each token's own state, as the interventions that select by it read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

import torch
from torch import Tensor

from steerctl.entropy.change import Estimator, Means, clip_indicator, entropy_change
from steerctl.errors import SpecError
from steerctl.intervention import Measure, Population
from steerctl.intervention._remarks import CLIP, Handles
from steerctl.types import Dials, TokenBatch, TokenStats

EntropySource = Literal["old", "live"]
"""Whose H and S̄: of the policy at the start of the step, or of the current one."""

Sign = Literal["both", "decreasing_only", "increasing_only", "asymmetric"]
"""Which predicted changes count, and as what: see `magnitude`."""


def change_reads(*, use_clip_indicator: bool) -> Handles:
    """What the coefficient of the change depends on, of all that interventions turn."""
    own: Handles = frozenset({"advantages", "weight"})
    return own | CLIP if use_clip_indicator else own


def statistics_of(source: EntropySource, batch: TokenBatch, stats: TokenStats) -> TokenStats:
    """Those of the policy at the start of the step, or the current policy's."""
    return batch.old_stats if source == "old" else stats


def change_measure(
    estimator: Estimator, population: Population, *, entropy_source: EntropySource, use_clip_indicator: bool
) -> Measure:
    """The signed Ω [B, T] of each token, nats per unit step size of the logits, as a function of dials and statistics.

    Ω is `entropy/change.py`'s estimator with the coefficient w = I_clip·r·A·weight that the dials give the token;
    `released` takes I_clip·A·weight for A, `covariance` its means over the population, `influence` (nats of the
    update's mean entropy per unit learning rate) the population's gradients. I_clip is 1 unless `use_clip_indicator`;
    the dual clip is not looked at. Detached.

    Raises:
        SpecError: `influence` where the population is not the update.
    """

    def coefficient(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        return _ratio(batch, stats) * _advantages(dials, batch, stats, use_clip_indicator=use_clip_indicator)

    means: Means | None = None
    if estimator == "covariance":
        weights_N = population.gather(coefficient)
        logprobs_N = population.gather(lambda _dials, _batch, stats: stats.logprobs_BT)
        means = Means(_mean(weights_N), _mean(logprobs_N))

    sensitivity = _sensitivity(population) if estimator == "influence" else None

    @torch.no_grad()
    def measure(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        source = statistics_of(entropy_source, batch, stats)
        return entropy_change(
            estimator,
            weight=coefficient(dials, batch, stats),
            logprobs=stats.logprobs_BT,
            entropy=source.entropy_BT,
            mean_score=source.mean_score_BT,
            advantages=_advantages(dials, batch, stats, use_clip_indicator=use_clip_indicator),
            old_logprobs=batch.old_stats.logprobs_BT,
            means=means,
            sensitivity=None if sensitivity is None else sensitivity(batch),
        )

    return measure


def _mean(values_N: Tensor) -> float:
    """0 of none; sorted first, so that it is the same to the last bit however the population was cut."""
    return float(values_N.sort().values.double().sum() / max(values_N.numel(), 1))


def _sensitivity(population: Population) -> Callable[[TokenBatch], Tensor]:
    """⟨∇log π_a, P g_H⟩ of every token of the update, found by row and position."""
    if population.slopes is None:
        raise SpecError("estimator influence needs scope update: it is about the gradients of a whole update")
    rows: dict[int, Tensor] = {}
    for view, slope_BT in zip(population.views, population.slopes.sensitivities(), strict=True):
        rows.update(zip(view.batch.row_B.tolist(), slope_BT, strict=True))

    def of(batch: TokenBatch) -> Tensor:
        found_BT = torch.zeros_like(batch.old_stats.logprobs_BT)
        for place, row in enumerate(batch.row_B.tolist()):
            width = min(len(rows[row]), found_BT.shape[1])
            found_BT[place, :width] = rows[row][:width]
        return found_BT

    return of


def magnitude(change: Tensor, sign: Sign) -> Tensor:
    """What is to be damped, as a number that grows with it: |Ω|, max(−Ω, 0), max(Ω, 0), or −Ω for asymmetric."""
    match sign:
        case "both":
            return change.abs()
        case "decreasing_only":
            return (-change).clamp(min=0)
        case "increasing_only":
            return change.clamp(min=0)
        case "asymmetric":
            return -change
        case _:
            assert_never(sign)


def _ratio(batch: TokenBatch, stats: TokenStats) -> Tensor:
    return (stats.logprobs_BT.detach() - batch.old_stats.logprobs_BT).clamp(-20, 20).exp()


def _advantages(dials: Dials, batch: TokenBatch, stats: TokenStats, *, use_clip_indicator: bool) -> Tensor:
    """I_clip·A·weight."""
    advantages_BT = dials.advantages_BT * dials.weight_BT
    if not use_clip_indicator:
        return advantages_BT
    passes_BT = clip_indicator(_ratio(batch, stats), advantages_BT, dials.clip_low_BT, dials.clip_high_BT)
    return torch.where(passes_BT, advantages_BT, torch.zeros_like(advantages_BT))
