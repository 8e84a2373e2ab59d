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
    return advantage + min(alpha * entropy_, abs(advantage) / kappa)


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


def quadrant_weight(advantage: float, likely: bool, factors: tuple[float, float, float, float]) -> float:
    """Factors of quadrants 1 to 4."""
    if advantage == 0:
        return 1.0
    if advantage > 0:
        return factors[0] if likely else factors[1]
    return factors[3] if likely else factors[2]


def unlikeliness(rewards: list[float], likelihoods: list[float], beta: float) -> list[float]:
    """Without ties: sort from the likeliest, rank from 1."""
    size = len(rewards)
    order = sorted(range(size), key=lambda index: -likelihoods[index])
    rank = {index: place + 1 for place, index in enumerate(order)}
    return [r * (1 - beta * (size - rank[i]) / size) if r > 0 else r for i, r in enumerate(rewards)]


def _z(values: list[float], epsilon: float, correction: int) -> list[float]:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / max(len(values) - correction, 1)
    return [(v - mean) / (math.sqrt(variance) + epsilon) for v in values]


def gtpo(
    entropies: list[list[float]], right: list[bool], alpha_1: float, alpha_2: float, *, together: bool
) -> list[list[float]]:
    """Advantages of one group, a list per response, entropies already held in their bounds."""
    shaped: list[list[float]] = []
    for own, is_right in zip(entropies, right, strict=True):
        row = []
        for t, value in enumerate(own):
            alive = [h[t] for h, r in zip(entropies, right, strict=True) if r == is_right and len(h) > t]
            if is_right:
                row.append(alpha_1 + alpha_2 * value / math.fsum(alive) * len(alive))
            else:
                row.append(-alpha_1 - alpha_2 * (1 / value) / math.fsum(1 / h for h in alive) * len(alive))
        shaped.append(row)
    result: list[list[float]] = [[0.0] * len(row) for row in shaped]
    for wanted in [{True, False}] if together else [{True}, {False}]:
        places = [(i, t) for i, row in enumerate(shaped) if right[i] in wanted for t in range(len(row))]
        if places:
            for (i, t), z in zip(places, _z([shaped[i][t] for i, t in places], 1e-6, 0), strict=True):
                result[i][t] = z
    return result


def grpo_s(mean_entropies: list[float], right: list[bool], beta_1: float, beta_2: float) -> list[float]:
    """Advantages of one group's responses."""
    shaped = []
    for value, is_right in zip(mean_entropies, right, strict=True):
        side = [h for h, r in zip(mean_entropies, right, strict=True) if r == is_right]
        if is_right:
            shaped.append(beta_1 + beta_2 * len(side) * value / math.fsum(side))
        else:
            shaped.append(-beta_1 - beta_2 * len(side) * (1 / value) / math.fsum(1 / h for h in side))
    return _z(shaped, 1e-6, 1)


def dcpo_bounds(prob: float, low: float, high: float, largest: float) -> tuple[float, float]:
    """Lowest and highest ratio of a token of this old probability."""
    bottom = 0.5 + 0.5 * math.sqrt(max(1 - 4 * low / prob, 0.0))
    return bottom, min(0.5 + 0.5 * math.sqrt(1 + 4 * high / prob), largest)


def dcpo_advantages(visits: list[list[float]]) -> list[float]:
    """Of the responses of the last visit to one problem, from the rewards of all visits."""
    i, now, everything = len(visits), visits[-1], [reward for rewards in visits for reward in rewards]
    result = []
    for reward in now:
        new, total = (
            (reward - float(np.mean(pool))) / float(np.std(pool, ddof=1)) if len(set(pool)) > 1 else 0.0
            for pool in (now, everything)
        )
        towards_new, towards_total = ((i - 1) * new + total) / i, (new + (i - 1) * total) / i
        result.append(towards_new if abs(towards_new) < abs(towards_total) else towards_total)
    return result


def archer_reasoning(entropies: list[float], quantile: float) -> list[bool]:
    """Of one response's tokens."""
    return [bool(value > np.quantile(np.array(entropies), quantile)) for value in entropies]


def kl_rewards(rewards: list[float], old: list[list[float]], ref: list[list[float]], coef: float) -> list[float]:
    """Shaped rewards of responses, from their tokens' log-probabilities."""
    return [
        reward - coef * math.fsum(a - b for a, b in zip(one, other, strict=True))
        for reward, one, other in zip(rewards, old, ref, strict=True)
    ]


def kl_controller(distances: list[float], coef: float, target: float, horizon: float, responses: int) -> list[float]:
    """c as it acts in each step."""
    acting = []
    for distance in distances:
        acting.append(coef)
        coef *= 1 + sorted((-0.2, distance / target - 1, 0.2))[1] * responses / horizon
    return acting
