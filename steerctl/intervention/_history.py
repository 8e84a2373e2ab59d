"""The rewards of a problem over its visits, and advantages that are smoothed over them."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from steerctl.types import RolloutGroup


def smoothed(history: dict[str, list[float]], groups: Sequence[RolloutGroup]) -> Tensor:
    """The smooth advantage of each response of a step [R], float64; the history is moved on.

    history: [visits, count, sum, sum of squares] of the rewards by problem.

    On visit i, A_new the z-score of a reward in this group and A_tot that among all rewards so far: of
    ((i − 1)·A_new + A_tot)/i and (A_new + (i − 1)·A_tot)/i the one of smaller size.
    """
    return torch.tensor([value for group in groups for value in _visit(history, group)], dtype=torch.float64)


def _visit(history: dict[str, list[float]], group: RolloutGroup) -> list[float]:
    new = [1.0, float(len(group.rewards_G)), sum(group.rewards_G), sum(reward**2 for reward in group.rewards_G)]
    total = [a + b for a, b in zip(history.get(group.problem.id, [0.0] * 4), new, strict=True)]
    history[group.problem.id] = total
    visits = total[0]
    advantages = []
    for reward in group.rewards_G:
        a_new, a_total = _z_score(reward, new), _z_score(reward, total)
        options = ((visits - 1) * a_new + a_total) / visits, (a_new + (visits - 1) * a_total) / visits
        advantages.append(min(options, key=abs))
    return advantages


def _z_score(reward: float, sums: Sequence[float]) -> float:
    """(R − mean)/std from [·, count, sum, sum of squares]; 0 where rounding cannot tell the rewards apart."""
    _, count, total, squares = sums
    spread = squares - total**2 / count
    if count < 2 or spread <= 1e-12 * max(squares, 1e-300):
        return 0.0
    return (reward - total / count) / sqrt(spread / (count - 1))
