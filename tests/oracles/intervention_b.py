"""More interventions in float64, written from the formulas, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def opefo(changes: Sequence[float]) -> tuple[float, list[float]]:
    """λ* and the factor of each token."""
    rises, falls = math.fsum(c for c in changes if c > 0), math.fsum(-c for c in changes if c < 0)
    balance = (falls - rises) / (falls + rises) if falls + rises else 0.0
    return balance, [1 + balance if c > 0 else 1 - balance if c < 0 else 1.0 for c in changes]


def gaussian_weights(covariances: Sequence[float], bandwidth: float, *, mean_preserving: bool) -> list[float]:
    sigma = deviation(covariances) * bandwidth
    weights = [math.exp(-(c**2) / (2 * sigma**2)) for c in covariances]
    scale = len(weights) / math.fsum(weights) if mean_preserving else 1.0
    return [w * scale for w in weights]


def score(prob: float, entropy: float) -> float:
    return prob * (math.log(prob) + entropy)


def clip_b(scores: Sequence[float], advantages: Sequence[float], mu: float) -> list[bool]:
    """Which tokens are dropped."""
    mean, std = math.fsum(scores) / len(scores), deviation(scores)
    return [a < 0 and s - mean < -mu * std for s, a in zip(scores, advantages, strict=True)]


def clip_v(
    scores: Sequence[float], means: Sequence[float], advantages: Sequence[float], mu: float, fraction: float
) -> list[bool]:
    """Which tokens are dropped."""
    excess = [m - s for s, m in zip(scores, means, strict=True)]
    std = deviation(excess)
    eligible = [i for i, (x, a) in enumerate(zip(excess, advantages, strict=True)) if a < 0 and x > mu * std]
    most = max(1, math.floor(fraction * len(excess)))
    dropped = set(sorted(eligible, key=lambda i: -excess[i])[:most])
    return [i in dropped for i in range(len(excess))]


def ce_gppo(
    log_ratio: float, advantage: float, bounds: tuple[float, float], beta: tuple[float, float], dual: float
) -> tuple[float, float]:
    """Value of a token's surrogate, and what stands in front of ∇log π."""
    ratio, (low, high) = math.exp(log_ratio), bounds
    if advantage < 0 and ratio < 1 - low:
        value = beta[0] * (1 - low) * advantage
        return value, value
    if advantage > 0 and ratio > 1 + high:
        value = beta[1] * (1 + high) * advantage
        return value, value
    if advantage < 0 and ratio > dual:
        return dual * advantage, 0.0
    return ratio * advantage, ratio * advantage


def rescue_chance(ratio: float, low: float, high: float, noise: float) -> float:
    """How much of the uniform noise brings a ratio back into the interval."""
    start, stop = max((1 - low) / ratio, 1 - noise), min((1 + high) / ratio, 1 + noise)
    return max(stop - start, 0.0) / (2 * noise)


def probability_bounds(prob: float, slope: float, intercept: float) -> tuple[float, float]:
    """Lowest and highest ratio: fixed points of r = 1 ∓ (β + α·r·q), found by iteration from 1."""
    low = high = 1.0
    for _ in range(200):
        low = 1 - intercept - slope * low * prob
        high = 1 + intercept + slope * high * prob
    return low, high


def probability_shares(schedule: str, step: int, total: int) -> tuple[float, float]:
    """Of the upper and of the lower dynamic bound; k < T/2 is the first half."""
    fade = 1 - 2 * step / total
    if schedule == "constant":
        return 1.0, 0.0
    first = step < total / 2
    if schedule == "increase_decrease":
        return (fade, 0.0) if first else (0.0, 1 + fade)
    return (1 - fade, 0.0) if first else (1.0, 1 + fade)


def oscillation(entropies: Sequence[float], total: int, low: float, least: float) -> list[str]:
    """The mode of each step."""
    start, mode, modes = entropies[0], "standard", []
    for step, value in enumerate(entropies):
        ceiling = least * start + (start - least * start) * max(1 - step / total, 0.0)
        if value <= low * start:
            mode = "raise"
        elif value > ceiling:
            mode = "lower"
        modes.append(mode)
    return modes


def exploration(
    answers: Sequence[str | None], history: Sequence[str | None], bonus: str, baseline: float
) -> list[float]:
    """Of the responses of one group, `history` being all earlier answers to the problem."""
    if bonus == "batch":
        same = [sum(a == b for j, b in enumerate(answers) if j != i) for i, a in enumerate(answers)]
        return [-count / len(answers) for count in same]
    seen = [sum(a == b for b in history) for a in answers]
    rarity = [min(1.0, math.sqrt(1 / n)) if n else 1.0 for n in seen]
    shift = {"ucb": 0.0, "ucb_con": baseline, "ucb_mean": math.fsum(rarity) / len(rarity)}[bonus]
    return [value - shift for value in rarity]


def strategic(documents: Sequence[Sequence[int]], lengths: range, fraction: float, least: int) -> set[tuple[int, ...]]:
    """Grams by number of documents that hold them; only for data in which no tie straddles the cut."""
    held = [{tuple(d[i : i + n]) for n in lengths for i in range(len(d) - n + 1)} for d in documents]
    counts = {gram: sum(gram in grams for grams in held) for gram in set().union(*held)}
    ranked = sorted((gram for gram in counts if counts[gram] >= least), key=lambda gram: -counts[gram])
    return set(ranked[: math.ceil(fraction * len(ranked))])


def planning(tokens: Sequence[int], grams: set[tuple[int, ...]]) -> list[bool]:
    marks = [False] * len(tokens)
    for i in range(len(tokens)):
        for gram in grams:
            if tuple(tokens[i : i + len(gram)]) == gram:
                marks[i : i + len(gram)] = [True] * len(gram)
    return marks
