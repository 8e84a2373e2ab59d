"""Surrogates and reductions by slow loops in float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ppo_clip(log_ratio: float, advantage: float, low: float, high: float, dual: float | None) -> float:
    """Surrogate of one token."""
    ratio = math.exp(min(max(log_ratio, -20.0), 20.0))
    clipped = min(max(ratio, 1 - low), 1 + high)
    value = min(ratio * advantage, clipped * advantage)
    if dual is not None and advantage < 0:
        value = max(value, dual * advantage)
    return value


def reduce(losses_BT: Array, mask_BT: Array, reduction: str, constant: float) -> float:
    """One number from the losses of a whole update."""
    sequences = [row[keep] for row, keep in zip(losses_BT, mask_BT.astype(bool), strict=True)]
    match reduction:
        case "token_mean":
            return float(np.concatenate(sequences).mean())
        case "seq_mean_token_mean":
            return float(np.mean([row.mean() for row in sequences]))
        case "seq_mean_token_sum":
            return float(np.mean([row.sum() for row in sequences]))
        case "constant_norm":
            return float(sum(row.sum() for row in sequences) / (len(sequences) * constant))
    raise ValueError(reduction)
