"""From a measure m of each token to a weight λ that falls with it; the population's m sets the scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, log
from typing import Literal, assert_never

import torch
from torch import Tensor

from steerctl.types import Dials, TokenBatch

WeightMapping = Literal["exponential", "linear", "binary"]
Weigh = Callable[[Tensor], Tensor]
"""λ of each m; any shape."""


def weighted(dials: Dials, batch: TokenBatch, factor_BT: Tensor) -> Dials:
    """The dials with the weights of trained tokens times a factor, whatever it is elsewhere."""
    factor_BT = factor_BT.to(dials.weight_BT.dtype)
    factor_BT = torch.where(batch.loss_mask_BT, factor_BT, torch.ones_like(factor_BT))
    return replace(dials, weight_BT=dials.weight_BT * factor_BT)


def weigher(
    mapping: WeightMapping, measure_N: Tensor, *, low: float, high: float, floor: float, fraction: float
) -> Weigh:
    """One of the three below; `floor` is read by exponential, `fraction` by binary."""
    match mapping:
        case "exponential":
            return exponential(measure_N, low, high, floor)
        case "linear":
            return linear(measure_N, low, high)
        case "binary":
            return binary(measure_N, low, high, fraction)
        case _:
            assert_never(mapping)


def exponential(measure_N: Tensor, low: float, high: float, floor: float) -> Weigh:
    """λ = exp(−k·m) held in [low, high], k = −ln low / max(max |m|, floor): the largest m gets `low`; 1 at m = 0."""
    scale = measure_N.abs().max().clamp(min=max(floor, torch.finfo(measure_N.dtype).tiny))
    k = -log(low) / scale

    def weigh(measure: Tensor) -> Tensor:
        # A tiny scale makes k infinite, and 0·∞ is not 0.
        exponent = torch.where(measure == 0, torch.zeros_like(measure), k * measure)
        return torch.exp(-exponent).clamp(low, high)

    return weigh


def linear(measure_N: Tensor, low: float, high: float) -> Weigh:
    """λ = high − (high − low)(m − min m)/(max m − min m), held in [low, high]; the midpoint where all m are equal."""
    bottom, top = measure_N.min(), measure_N.max()
    if bool(top == bottom):
        return lambda measure: torch.full_like(measure, (low + high) / 2)
    slope = (high - low) / (top - bottom)
    return lambda measure: (high - (measure - bottom) * slope).clamp(low, high)


def binary(measure_N: Tensor, low: float, high: float, fraction: float) -> Weigh:
    """λ = low where m > 0 and m is among the ⌈fraction·N⌉ largest of the population (ties included), high elsewhere."""
    count = ceil(fraction * measure_N.numel())
    if count == 0:
        return lambda measure: torch.full_like(measure, high)
    threshold = torch.topk(measure_N, count).values[-1]
    return lambda measure: torch.where((measure >= threshold) & (measure > 0), low, high)
