"""What an intervention remembers of a step's groups between `reshape` and its turns, and statistics within groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from steerctl.types import RolloutGroup, TokenBatch

Noted = TypeVar("Noted")


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """values_R: the verdict of each row of the step (row = problem · group_size + sample), float64."""

    values_R: Tensor
    group_size: int

    @classmethod
    def of(cls, groups: Sequence[RolloutGroup]) -> Verdicts:
        """Those of a step's groups, which all have one size."""
        values = [verdict.value for group in groups for verdict in group.verdicts]
        return cls(torch.tensor(values, dtype=torch.float64), len(groups[0].verdicts) if groups else 1)


def remembered(noted: Noted | None, kind: str) -> Noted:
    """What `reshape` has noted of the step's groups, once it has seen them."""
    if noted is None:
        raise RuntimeError(f"{kind} has not seen the groups of this step: reshape comes before prepare")
    return noted


def of_rows(values_R: Tensor, batch: TokenBatch) -> Tensor:
    """Each row's value at its trained positions [B, T], 0 elsewhere and on padding rows; float32."""
    values_B1 = values_R.to(batch.row_B.device)[batch.row_B.clamp(min=0)][:, None]
    return torch.where(batch.loss_mask_BT, values_B1, torch.zeros_like(values_B1)).float()


def totals(values_N: Tensor, keys_N: Tensor) -> Tensor:
    """Of each element the sum of `values_N` over all elements with its key [N], float64."""
    groups_N = torch.unique(keys_N, return_inverse=True)[1]
    return torch.bincount(groups_N, weights=values_N.double()).double()[groups_N]  # of nothing it is float32


def standardised(values_N: Tensor, keys_N: Tensor, epsilon: float, correction: int) -> Tensor:
    """(v − mean)/(std + ε) among the elements of one key [N], divisor n − correction; 0 for an element alone."""
    count_N = totals(torch.ones_like(values_N), keys_N)
    centred_N = values_N - totals(values_N, keys_N) / count_N
    variance_N = totals(centred_N.square(), keys_N) / (count_N - correction).clamp(min=1)
    return centred_N / (variance_N.sqrt() + epsilon)
