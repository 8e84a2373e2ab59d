"""Surrogates beside PPO's, with their derivatives, token by token in float64."""

from __future__ import annotations

import math

Pair = tuple[float, float]
"""Value of a token's surrogate, and what stands in front of ∇log π."""


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def ratio(log_ratio: float) -> float:
    return math.exp(clamp(log_ratio, -20.0, 20.0))


def no_clip(log_ratio: float, advantage: float) -> Pair:
    return ratio(log_ratio) * advantage, ratio(log_ratio) * advantage


def cispo(logprob: float, log_ratio: float, advantage: float, lowest: float, highest: float) -> Pair:
    """`lowest` and `highest` are ratios."""
    weight = clamp(ratio(log_ratio), lowest, highest) * advantage
    return weight * logprob, weight


def sapo(log_ratio: float, advantage: float, tau_pos: float, tau_neg: float) -> Pair:
    tau, r = tau_pos if advantage > 0 else tau_neg, ratio(log_ratio)
    gate = 1 / (1 + math.exp(-tau * (r - 1)))
    return 4 / tau * gate * advantage, 4 * gate * (1 - gate) * r * advantage


def gspo(log_ratios: list[float], advantages: list[float], low: float, high: float) -> list[Pair]:
    """Of one response's tokens."""
    sequence = math.exp(min(math.fsum(log_ratios) / len(log_ratios), 10.0))
    pairs = []
    for advantage in advantages:
        free, held = sequence * advantage, clamp(sequence, 1 - low, 1 + high) * advantage
        pairs.append((free, free) if free <= held else (held, 0.0))
    return pairs
