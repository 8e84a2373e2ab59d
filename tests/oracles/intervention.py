"""Interventions in float64 NumPy, token by token where that is clearer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kl(estimator: str, logp: float, ref: float, clamp: float) -> float:
    """Penalty of one token before the coefficient, from probabilities rather than their difference."""
    quotient = np.exp(ref) / np.exp(logp)
    value = {
        "k1": -np.log(quotient),
        "abs": abs(np.log(quotient)),
        "k2": np.log(quotient) ** 2 / 2,
        "k3": quotient - np.log(quotient) - 1,
    }[estimator]
    return float(min(max(value, -clamp), clamp))


def released_metric(advantages: Array, logp: Array, logp_old: Array, entropy_old: Array) -> Array:
    """Signed Ω of the released code: −(A/π_old)·π(1 − π)(ln π + H_old), for the trained tokens of a micro-batch."""
    prob = np.clip(np.exp(logp), 1e-8, 1 - 1e-8)
    old = np.clip(np.exp(logp_old), 1e-8, 1)
    omega = -advantages / old * prob * (1 - prob) * (np.log(prob) + entropy_old)
    return np.where(np.isfinite(omega), omega, 0.0)


def released_weights(omega: Array, *, mapping: str, low: float, high: float, asymmetric: bool = False) -> Array:
    """λ of the released code; exponential is held below 1 whatever `high` is, unless asymmetric."""
    metric = omega if asymmetric else np.abs(omega)
    if mapping == "linear":
        if metric.max() == metric.min():
            return np.full(metric.shape, (low + high) / 2)
        share = (metric - metric.min()) / (metric.max() - metric.min())
        return low + share * (high - low) if asymmetric else high - share * (high - low)
    k = -np.log(low) / max(np.abs(metric).max(), 0.02)
    if asymmetric:
        return np.clip(np.exp(k * metric), low, high)
    return np.clip(np.exp(-k * metric), low, 1.0)


def own_change(weight: Array, logp: Array, entropy: Array, mean_score: Array, estimator: str) -> Array:
    """Ω of the theory's forms with w = I_clip·r·A."""
    prob = np.exp(logp)
    score = prob * (logp + entropy)
    match estimator:
        case "exact":
            return -weight * (score - mean_score)
        case "own_logit":
            return -weight * score * (1 - prob)
        case "squared":
            return -weight * score * (1 - prob) ** 2
        case "covariance":
            return -(weight - weight.mean()) * (logp - logp.mean())
    raise ValueError(estimator)
