"""The weights of least departure from 1 that give a sum: one multiplier for all."""

from __future__ import annotations

import torch
from torch import Tensor


def kkt_multiplier(change_N: Tensor, flow: float, low: float, high: float) -> float:
    """The μ with Σ clamp(1 + μΩ, low, high)·Ω = flow, Ω float64; of several the one nearest to 0, ±inf out of reach."""
    change_N = change_N[change_N != 0]
    wanted = flow - float(change_N.sum())
    if change_N.numel() == 0 or wanted == 0:
        return 0.0
    # Mirrored, so that μ ≥ 0 is looked for: a token moves towards the bound that its sign points to.
    sign = 1.0 if wanted > 0 else -1.0
    bound_N = torch.where(sign * change_N > 0, change_N.new_tensor(high - 1), change_N.new_tensor(1 - low))
    corner_N = (bound_N / change_N.abs()).sort()
    squares_N = change_N.square()[corner_N.indices]
    reached_N = corner_N.values * squares_N  # |λ − 1|·|Ω| of a token at its bound
    free_N = squares_N.flip(0).cumsum(0).flip(0)  # ΣΩ² of the tokens not yet at theirs
    held_N = torch.cat([reached_N.new_zeros(1), reached_N.nan_to_num(posinf=0.0).cumsum(0)[:-1]])
    # |moved| at each corner grows; the root lies before the first corner at which it is enough.
    enough_N = held_N + corner_N.values * free_N >= abs(wanted)
    if not bool(enough_N.any()):
        return sign * torch.inf
    place = int(enough_N.int().argmax())
    return sign * float((abs(wanted) - held_N[place]) / free_N[place])
