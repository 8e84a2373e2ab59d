"""Interventions in float64 NumPy or plain Python, written from the formulas, slow and token by token."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits_V: Array) -> Array:
    weights_V = np.exp(logits_V - logits_V.max())
    return weights_V / weights_V.sum()


def entropy(logits_V: Array) -> float:
    return float(-sum(p * math.log(p) for p in softmax(logits_V) if p > 0))


def entropy_slope(logits_V: Array) -> Array:
    """∂H/∂z."""
    prob_V = softmax(logits_V)
    return -prob_V * (np.log(prob_V) + entropy(logits_V))


def controller(
    entropies: list[float], *, target: float, delta: float, start: float, low: float, high: float
) -> list[float]:
    """Skywork's coefficient as it acts in each step."""
    coef, acting = start, []
    for value in entropies:
        acting.append(coef if value < target else 0.0)
        if value != target:
            coef += delta if value < target else -delta
        coef = sorted((low, coef, high))[1]
    return acting


def entropy_advantage(advantage: float, entropy_: float, alpha: float, kappa: float) -> float:
    return advantage + sorted((alpha * entropy_, abs(advantage) / kappa))[0]


def top_mask(values: list[float], fraction: float) -> list[bool]:
    """The ⌈fraction·N⌉ largest, the earlier one among equals."""
    ranked = sorted(range(len(values)), key=lambda index: (-values[index], index))
    kept = set(ranked[: math.ceil(fraction * len(values))])
    return [index in kept for index in range(len(values))]


def covariances(advantages: Array, logprobs: Array) -> Array:
    count = len(advantages)
    mean_advantage, mean_logprob = math.fsum(advantages) / count, math.fsum(logprobs) / count
    return np.array([(a - mean_advantage) * (b - mean_logprob) for a, b in zip(advantages, logprobs, strict=True)])


def splitmix(*words: int) -> float:
    """Uniform number of (seed, step, identity): SplitMix64 in Python's integers."""
    mask, state = 2**64 - 1, 0
    for word in words:
        state = ((state ^ word) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return (state >> 11) / 2**53
