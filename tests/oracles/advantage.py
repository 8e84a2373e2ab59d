"""Advantages by slow loops in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def grpo(rewards_PG: Array, epsilon: float, ddof: int) -> Array:
    out = np.empty(rewards_PG.shape)
    for p, group in enumerate(rewards_PG):
        mean, std = (group.mean(), group.std(ddof=ddof)) if len(group) > 1 else (0.0, 1.0)
        out[p] = [(reward - mean) / (std + epsilon) for reward in group]
    return out


def rloo(rewards_PG: Array) -> Array:
    out = np.empty(rewards_PG.shape)
    for p, group in enumerate(rewards_PG):
        for g, reward in enumerate(group):
            others = np.delete(group, g)
            out[p, g] = reward - (others.mean() if len(others) else 0.0)
    return out


def opo(rewards_PG: Array, lengths_PG: Array) -> Array:
    out = np.empty(rewards_PG.shape)
    for p, (group, lengths) in enumerate(zip(rewards_PG, lengths_PG, strict=True)):
        out[p] = group - np.repeat(group, lengths.astype(int)).mean()
    return out


def token_whitened(values_PG: Array, lengths_PG: Array, epsilon: float) -> Array:
    """Each response's value is written out once per token."""
    tokens = np.repeat(values_PG.reshape(-1), lengths_PG.reshape(-1).astype(int))
    return (values_PG - tokens.mean()) / np.sqrt(tokens.var(ddof=1) + epsilon)


def gpg(rewards_PG: Array) -> Array:
    """The paper's α: samples over samples of informative groups."""
    valid = sum(len(group) for group in rewards_PG if len(set(group)) > 1)
    return rewards_PG.size / max(valid, 1) * (rewards_PG - rewards_PG.mean(axis=1, keepdims=True))
