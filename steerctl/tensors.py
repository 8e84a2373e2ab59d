"""Small pure tensor functions: nothing in place, masks are bool, empty selections give 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` where `mask`; values elsewhere may be anything, NaN included."""
    return torch.where(mask, values, torch.zeros_like(values)).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`; 0 when nothing is selected."""
    return masked_sum(values, mask) / mask.sum().clamp(min=1)


def scatter_rows(rows_N: Tensor, mask_BT: Tensor) -> Tensor:
    """Place `rows_N` (one per True of `mask_BT`, row-major) into a zero tensor of the mask's shape; differentiable."""
    flat = torch.zeros(mask_BT.numel(), dtype=rows_N.dtype, device=rows_N.device)
    positions_N = mask_BT.reshape(-1).nonzero(as_tuple=True)[0]
    return flat.index_put((positions_N,), rows_N).reshape(mask_BT.shape)


def pad_rows(rows: Sequence[Tensor], length: int, value: float) -> Tensor:
    """Stack 1-D tensors right-padded with `value` to `length`: [len(rows), length]."""
    out = torch.full((len(rows), length), value, dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        out[index, : row.numel()] = row
    return out
