"""Slow float64 NumPy oracles of steerctl.entropy, one state at a time, from definitions rather than closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OracleStats:
    logprobs_N: Array
    entropy_N: Array
    mean_score_N: Array
    collision_N: Array


def log_softmax(logits_V: Array) -> Array:
    shifted_V = np.asarray(logits_V, dtype=np.float64) - np.max(logits_V)
    return shifted_V - np.log(np.exp(shifted_V).sum())


def entropy(logits_V: Array) -> float:
    logp_V = log_softmax(logits_V)
    return float(-(np.exp(logp_V) * logp_V).sum())


def row_stats(logits_NV: Array, targets_N: NDArray[np.int64]) -> OracleStats:
    rows = []
    for logits_V, target in zip(np.asarray(logits_NV, dtype=np.float64), targets_N, strict=True):
        logp_V = log_softmax(logits_V)
        prob_V = np.exp(logp_V)
        own = -(prob_V * logp_V).sum()
        rows.append((logp_V[target], own, (prob_V**2 * (logp_V + own)).sum(), (prob_V**2).sum()))
    return OracleStats(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def logit_gradient(logits_V: Array, target: int, through_logprob: float, through_entropy: float) -> Array:
    """Gradient of g·log π_a + k·H by the chain rule through the Jacobian of softmax, diag(π) − ππᵀ."""
    logp_V = log_softmax(logits_V)
    prob_V = np.exp(logp_V)
    jacobian_VV = np.diag(prob_V) - np.outer(prob_V, prob_V)
    outer_V = np.zeros_like(prob_V)
    outer_V[target] = through_logprob / prob_V[target]
    outer_V -= through_entropy * (logp_V + 1)
    return jacobian_VV @ outer_V


def logit_gradients(logits_NV: Array, targets_N: NDArray[np.int64], upstream_2N: Array) -> Array:
    rows = zip(logits_NV, targets_N, *upstream_2N, strict=True)
    return np.array([logit_gradient(z, int(a), g, k) for z, a, g, k in rows]).reshape(logits_NV.shape)


def entropy_gradient(logits_V: Array) -> Array:
    """∂H/∂z."""
    return logit_gradient(logits_V, 0, 0.0, 1.0)


def exact(logits_V: Array, action: int, weight: float) -> float:
    """All logits move along ∇ log π_a."""
    step_V = logit_gradient(logits_V, action, weight, 0.0)
    return float(entropy_gradient(logits_V) @ step_V)


def own_logit(logits_V: Array, action: int, weight: float) -> float:
    """Only the sampled action's logit moves."""
    step_V = logit_gradient(logits_V, action, weight, 0.0)
    return float(entropy_gradient(logits_V)[action] * step_V[action])


def squared(logits_V: Array, action: int, weight: float) -> float:
    return own_logit(logits_V, action, weight) * (1 - np.exp(log_softmax(logits_V)[action]))


def released(logits_V: Array, action: int, advantage: float, old_logprob: float) -> float:
    """Signed metric of the released code."""
    prob = np.clip(np.exp(log_softmax(logits_V)[action]), 1e-8, 1 - 1e-8)
    old = np.clip(np.exp(old_logprob), 1e-8, 1.0)
    value = -advantage / old * prob * (1 - prob) * (np.log(prob) + entropy(logits_V))
    return float(value) if np.isfinite(value) else 0.0


def covariance(weight_N: Array, logprobs_N: Array) -> Array:
    """Terms whose mean is −Cov over the tokens."""
    return -(weight_N - weight_N.mean()) * (logprobs_N - logprobs_N.mean())


def expected_change(logits_V: Array, weight_V: Array, *, natural: bool) -> float:
    """∇H along the expected update: Σ_a π_a w_a ∇ log π_a, or the natural gradient's dz = w."""
    prob_V = np.exp(log_softmax(logits_V))
    step_V = (
        weight_V
        if natural
        else sum(prob_V[a] * logit_gradient(logits_V, a, weight_V[a], 0.0) for a in range(len(prob_V)))
    )
    return float(entropy_gradient(logits_V) @ step_V)
