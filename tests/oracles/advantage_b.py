"""More advantages from definitions: enumeration and sorting, in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quantile(rewards_PG: Array, share: float, epsilon: float) -> Array:
    """The baseline is the first reward, from below, that at least `share` of the group does not exceed."""
    out = np.empty(rewards_PG.shape)
    for p, group in enumerate(rewards_PG):
        baseline = next(v for v in sorted(group) if np.mean(group <= v) >= share - 1e-12)
        out[p] = (group - baseline) / (np.std(group, ddof=1) + epsilon)
    return out


def pass_at_k(right_PG: NDArray[np.bool_], k: int, epsilon: float) -> Array:
    """Every group of k of the samples, one by one: a sample's credit is the mean z-score of the groups it is in."""
    out = np.empty(right_PG.shape)
    for p, right in enumerate(right_PG):
        groups = list(itertools.combinations(range(len(right)), k))
        earned = {group: float(any(right[i] for i in group)) for group in groups}
        mean = math.fsum(earned.values()) / len(groups)
        std = math.sqrt(mean * (1 - mean))
        for i in range(len(right)):
            own = [earned[group] for group in groups if i in group]
            out[p, i] = (math.fsum(own) / len(own) - mean) / (std + epsilon)
    return out


def best_lead(rewards_PG: Array, epsilon: float) -> Array:
    out = np.zeros(rewards_PG.shape)
    for p, group in enumerate(rewards_PG):
        best = int(np.argmax(group))
        out[p, best] = (group[best] - max(np.delete(group, best))) / (np.std(group, ddof=1) + epsilon)
    return out
