"""Weights of sampled tokens, response by response in float64."""

from __future__ import annotations

import math

Rows = list[list[float]]


def ratios(gaps: list[float], level: str) -> list[float]:
    """ρ of every token of one response; gaps are log π_old − log μ."""
    if level == "token":
        logs = list(gaps)
    else:
        total = math.fsum(gaps)
        logs = [total if level == "sequence" else total / len(gaps)] * len(gaps)
    return [math.exp(min(max(log, -20.0), 20.0)) for log in logs]


def weight(ratio: float, kind: str, low: float, high: float, weigh: bool = True) -> float:
    if kind == "truncated":
        return min(max(ratio, low), high)
    if not low <= ratio <= high:
        return 0.0
    return ratio if weigh else 1.0


def effective(weights: list[float]) -> float:
    square = math.fsum(each * each for each in weights)
    return math.fsum(weights) ** 2 / (len(weights) * square) if square else 0.0
