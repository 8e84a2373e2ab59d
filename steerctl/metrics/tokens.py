"""Token statistics -> tallies. Trained tokens only, detached, summed in float64.

A step's token metrics are `state_tally` of every micro-batch (the policy before and after) merged with `update_tally`
of every micro-batch (what its own update did).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from steerctl.entropy.change import clip_indicator, entropy_change, quadrant
from steerctl.metrics.moments import Moments, Vector
from steerctl.metrics.tally import Mean, Tally
from steerctl.types import Dials, OptimizerReport, TokenBatch, TokenStats

OWN_TOKEN: Final[tuple[Literal["exact", "own_logit", "squared", "released"], ...]] = (
    "exact",
    "own_logit",
    "squared",
    "released",
)
"""Estimators that need nothing but the token itself; `covariance` is read off moments instead."""
QUADRANTS: Final = (1, 2, 3, 4)


def update_tally(
    batch: TokenBatch,
    stats: TokenStats,
    dials: Dials,
    *,
    dual_clip: float | None = None,
    slope_BT: Tensor | None = None,
) -> Tally:
    """What one micro-batch's update saw: ratio, clip, KL, dials, and the entropy change it is predicted to make.

    stats and dials are those of the forward pass of that update; `dual_clip` as in the surrogate, if it has one.
    Coefficient of the prediction: w = weight · slope (`released`: weight · A). All keys: metrics/catalogue.py.

    slope_BT  ∂surrogate/∂log π (`Surrogate.slope`); None: that of `ppo_clip`, I_clip · r · A
    """
    mask_BT = batch.loss_mask_BT
    now, old = _Tokens.of(stats, mask_BT), _Tokens.of(batch.old_stats, mask_BT)
    advantage_N, weight_N = _pick(dials.advantages_BT, mask_BT), _pick(dials.weight_BT, mask_BT)
    log_ratio_N = now.logprob_N - old.logprob_N
    ratio_N = log_ratio_N.clamp(-20, 20).exp()
    if slope_BT is None:
        coefficient_N, high_N, low_N = _ppo_clip(dials, mask_BT, ratio_N, dual_clip)
    else:
        slope_N = _pick(slope_BT, mask_BT)
        coefficient_N, stopped_N = weight_N * slope_N, slope_N == 0
        high_N, low_N = stopped_N & (advantage_N > 0), stopped_N & (advantage_N < 0)
    turned_N = _without_correction(weight_N, batch)
    means = {
        "policy/ratio/mean": ratio_N,
        "policy/kl/mean": _k3(log_ratio_N),
        "clip/high/fraction": high_N,
        "clip/low/fraction": low_N,
        "weight/mean": turned_N,
        "weight/fraction_below_0.9": turned_N < 0.9,
        "advantage/abs/mean": advantage_N.abs(),
        "advantage/zero/fraction": advantage_N == 0,
        "advantage/turned/fraction": advantage_N != _pick(batch.advantages_BT, mask_BT),
        "penalty/mean": _pick(dials.penalty_BT, mask_BT),
    }
    if batch.ref_logprobs_BT is not None:
        means["reference/kl/mean"] = _k3(_pick(batch.ref_logprobs_BT, mask_BT) - now.logprob_N)
    quadrant_N = quadrant(advantage_N, now.logprob_N, now.entropy_N)
    predicted = _predictions(coefficient_N, weight_N * advantage_N, now, old)
    for name, change_N in predicted.items():
        means[f"entropy_change/{name}/mean"] = change_N
        means |= {f"entropy_change/{name}/quadrant_{q}": change_N * (quadrant_N == q) for q in QUADRANTS}
    return Tally(
        means=_means(means),
        maxima=_extreme({"policy/ratio/max": ratio_N, "weight/max": turned_N}, torch.max),
        minima=_extreme({"policy/ratio/min": ratio_N, "weight/min": turned_N}, torch.min),
        moments={"covariance": _covariance_moments(coefficient_N, now.logprob_N, quadrant_N)},
        readings={"covariance": read_covariance},
    )


def state_tally(batch: TokenBatch, dials: Dials, after: TokenStats | None = None) -> Tally:
    """One micro-batch's states before the step and, if measured, after it: entropy, surprisal, padding.

    The prediction that is correlated with the measured change is the one at the start of the step: r = 1, coefficient
    weight · A with the dials of the micro-batch's own update.
    """
    mask_BT = batch.loss_mask_BT
    old = _Tokens.of(batch.old_stats, mask_BT)
    means = {
        "policy/entropy/mean": old.entropy_N,
        "policy/surprisal/mean": -old.logprob_N,
    }
    moments: dict[str, Moments] = {}
    if after is not None:
        entropy_after_N = _pick(after.entropy_BT, mask_BT)
        measured_N = entropy_after_N - old.entropy_N
        means["policy/entropy_after/mean"] = entropy_after_N
        means["entropy_change/measured/mean"] = measured_N
        means["entropy_change/measured/abs_mean"] = measured_N.abs()
        coefficient_N = _pick(dials.weight_BT, mask_BT) * _pick(dials.advantages_BT, mask_BT)
        predicted = _predictions(coefficient_N, coefficient_N, old, old)
        rows = [*predicted.values(), coefficient_N * old.logprob_N, coefficient_N, old.logprob_N, measured_N]
        moments["measured"] = _moments(rows)
    return Tally(
        means={**_means(means), "batch/padding/fraction": _padding(mask_BT)},
        counts={"batch/tokens/count": float(mask_BT.sum()), "batch/micro_batches/count": 1.0},
        moments=moments,
        readings={"measured": read_correlations} if moments else {},
    )


def optimizer_tally(report: OptimizerReport) -> Tally:
    """What the optimiser said of one update."""
    return Tally(
        means={"optim/grad_norm/mean": Mean(report.grad_norm, 1.0)},
        maxima={"optim/grad_norm/max": report.grad_norm, "optim/lr/value": report.learning_rate},
    )


def read_covariance(moments: Moments) -> dict[str, float]:
    """Mean of −(w − w̄)(l − l̄), l = log π, over all tokens and what each quadrant adds to it; rows: _covariance_moments.

    Multiplied out it is linear in (w·l, w, l, 1), so the means w̄ and l̄ need not be known while counting.
    """
    weight_mean, logprob_mean = moments.mean[1], moments.mean[2]
    centred = np.array([-1.0, logprob_mean, weight_mean, -weight_mean * logprob_mean])
    parts = moments.mean.reshape(-1, 4) @ centred
    keys = ("mean", *(f"quadrant_{q}" for q in QUADRANTS))
    return {f"entropy_change/covariance/{key}": float(part) for key, part in zip(keys, parts, strict=True)}


def read_correlations(moments: Moments) -> dict[str, float]:
    """Pearson correlation of every estimator with the measured change; rows: OWN_TOKEN, w·l, w, l, measured.

    Left out where one of the two does not vary.
    """
    directions: dict[str, Vector] = dict(zip(OWN_TOKEN, np.eye(len(moments.mean)), strict=False))
    product, weight, logprob, measured = np.eye(len(moments.mean))[len(OWN_TOKEN) :]
    weight_mean, logprob_mean = moments.mean[len(OWN_TOKEN) + 1], moments.mean[len(OWN_TOKEN) + 2]
    directions["covariance"] = -product + logprob_mean * weight + weight_mean * logprob
    found = {name: moments.correlation(direction, measured) for name, direction in directions.items()}
    return {f"entropy_change/{name}/pearson": value for name, value in found.items() if np.isfinite(value)}


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Statistics of the trained tokens, float64 [N]."""

    logprob_N: Tensor
    entropy_N: Tensor
    mean_score_N: Tensor

    @classmethod
    def of(cls, stats: TokenStats, mask_BT: Tensor) -> _Tokens:
        return cls(*(_pick(values, mask_BT) for values in (stats.logprobs_BT, stats.entropy_BT, stats.mean_score_BT)))


def _predictions(coefficient_N: Tensor, advantage_N: Tensor, now: _Tokens, old: _Tokens) -> dict[str, Tensor]:
    return {
        name: entropy_change(
            name,
            weight=coefficient_N,
            logprobs=now.logprob_N,
            entropy=now.entropy_N,
            mean_score=now.mean_score_N,
            advantages=advantage_N,
            old_logprobs=old.logprob_N,
        )
        for name in OWN_TOKEN
    }


def _ppo_clip(dials: Dials, mask_BT: Tensor, ratio_N: Tensor, dual_clip: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of `ppo_clip`: weight · I_clip · r · A, and which tokens its upper and its lower bound leave no gradient."""
    weight_N, advantage_N = _pick(dials.weight_BT, mask_BT), _pick(dials.advantages_BT, mask_BT)
    clip_low_N, clip_high_N = _pick(dials.clip_low_BT, mask_BT), _pick(dials.clip_high_BT, mask_BT)
    passes_N = clip_indicator(ratio_N, advantage_N, clip_low_N, clip_high_N, dual_clip)
    high_N = (advantage_N > 0) & (ratio_N > 1 + clip_high_N)
    low_N = (advantage_N < 0) & (ratio_N < 1 - clip_low_N)
    return weight_N * passes_N * ratio_N * advantage_N, high_N, low_N


def _covariance_moments(coefficient_N: Tensor, logprob_N: Tensor, quadrant_N: Tensor) -> Moments:
    """Rows: (w·l, w, l, 1) of all tokens, then of each quadrant with zeros elsewhere."""
    features = torch.stack([coefficient_N * logprob_N, coefficient_N, logprob_N, torch.ones_like(logprob_N)])
    return _moments([*features, *(row for q in QUADRANTS for row in features * (quadrant_N == q))])


def _moments(rows: list[Tensor]) -> Moments:
    return Moments.of(torch.stack(rows).cpu().numpy())


def _without_correction(weight_N: Tensor, batch: TokenBatch) -> Tensor:
    """What the interventions made of the weight: tokens that the correction leaves out are left out here too."""
    if batch.correction is None:
        return weight_N
    correction_N = _pick(batch.correction.weight_BT, batch.loss_mask_BT)
    kept_N = correction_N > 0
    return weight_N[kept_N] / correction_N[kept_N]


def _pick(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return values_BT.detach()[mask_BT].double()


def _k3(log_ratio_N: Tensor) -> Tensor:
    """ρ − 1 − log ρ ≥ 0, without cancellation for ρ near 1 (Schulman, "Approximating KL divergence", k3)."""
    return log_ratio_N.clamp(max=20).expm1() - log_ratio_N


def _means(values: dict[str, Tensor]) -> dict[str, Mean]:
    return {key: Mean(float(value_N.double().sum()), float(value_N.numel())) for key, value_N in values.items()}


def _extreme(values: dict[str, Tensor], pick: Callable[[Tensor], Tensor]) -> dict[str, float]:
    return {key: float(pick(value_N)) for key, value_N in values.items() if value_N.numel()}


def _padding(mask_BT: Tensor) -> Mean:
    """Positions after a row's last trained token (every row ends in one), and all of a row that has none."""
    positions = torch.arange(1, mask_BT.shape[1] + 1, device=mask_BT.device)
    used = int((mask_BT * positions).amax(dim=1).sum())
    return Mean(float(mask_BT.numel() - used), float(mask_BT.numel()))
