"""The output layer cut into tiles of logits (some rows by some columns), and the sums that survive a tile.

With u_b = z_b − max z and e_b = exp(u_b), four sums say everything about a softmax state that this package asks for:

    mass M0 = Σ e_b      first M1 = Σ u_b e_b      square Q0 = Σ e_b²      square_first Q1 = Σ u_b e_b²

    log π_a = u_a − log M0                    H  = log M0 − M1/M0
    Σπ²     = Q0/M0²                          S̄ = Σ π² (log π + H) = (Q1 − Q0·M1/M0)/M0²

They are additive over the vocabulary: when the maximum rises by −d, M0 → M0·e^d, M1 → (M1 + d·M0)·e^d, and likewise
Q0, Q1 with e^(2d).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
from torch import Tensor

CHUNK_BYTES: Final = {"cpu": 8 * 2**20, "cuda": 128 * 2**20}
"""Size of a tile by device type: on a CPU it should stay in the cache, on a GPU it should fill the device."""

_TILE_ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive vocabulary columns with their rows of the weight, in the dtype they are multiplied in."""

    columns: slice
    weight_CD: Tensor


@dataclass(frozen=True, slots=True)
class Head:
    """The output layer z = (hidden·weightᵀ + bias)/temperature in tiles.

    dtype    of logits, sums and accumulated gradients: float32, or float64 for float64 input
    operand  of the factors of a matrix product: 16 bit only on a GPU, where products of 16-bit factors are summed in
             float32; elsewhere `dtype`
    """

    hidden_ND: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None
    temperature: float
    dtype: torch.dtype
    operand: torch.dtype
    tile_rows: int
    tile_columns: int

    @classmethod
    def of(
        cls, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, temperature: float, chunk_bytes: int
    ) -> Head:
        """Choose dtypes and the tile's shape."""
        dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
        half_on_gpu = hidden_ND.is_cuda and hidden_ND.dtype == weight_VD.dtype
        operand = hidden_ND.dtype if half_on_gpu else dtype
        rows = max(1, min(hidden_ND.shape[0], _TILE_ROWS))
        columns = max(1, min(weight_VD.shape[0], chunk_bytes // (rows * dtype.itemsize)))
        return cls(hidden_ND.to(operand), weight_VD, bias_V, temperature, dtype, operand, rows, columns)

    def blocks(self) -> Iterator[Block]:
        """All columns, block by block."""
        for start in range(0, self.weight_VD.shape[0], self.tile_columns):
            columns = slice(start, min(start + self.tile_columns, self.weight_VD.shape[0]))
            yield Block(columns, self.weight_VD[columns].to(self.operand))

    def row_slices(self) -> Iterator[slice]:
        """All rows, slice by slice."""
        for start in range(0, self.hidden_ND.shape[0], self.tile_rows):
            yield slice(start, min(start + self.tile_rows, self.hidden_ND.shape[0]))

    def buffers(self) -> Tensor:
        """Two flat tiles, [2, rows·columns], that a pass uses over and over."""
        return torch.empty((2, self.tile_rows * self.tile_columns), dtype=self.dtype, device=self.hidden_ND.device)

    def logits(self, rows: slice, block: Block, buffer: Tensor) -> Tensor:
        """One tile of logits at the sampling temperature, in the buffer's memory."""
        hidden_RD = self.hidden_ND[rows]
        tile_RC = shaped(buffer, hidden_RD.shape[0], block.weight_CD.shape[0])
        matmul(hidden_RD, block.weight_CD.t(), tile_RC)
        if self.bias_V is not None:
            tile_RC.add_(self.bias_V[block.columns])
        return tile_RC.div_(self.temperature) if self.temperature != 1.0 else tile_RC


@dataclass(frozen=True, slots=True)
class Sums:
    """Per row: the running maximum, the four sums relative to it (mass, first, square, square_first), u of the target.

    The three tensors are filled in place, tile by tile, and only read afterwards.
    """

    shift_N: Tensor
    sums_4N: Tensor
    target_logit_N: Tensor


def sum_tiles(head: Head, targets_N: Tensor) -> Sums:
    """Pass over all tiles once."""
    num_rows = head.hidden_ND.shape[0]
    # Finite, so that the first tile's d·M0 is −0 and not −∞·0.
    lowest = torch.finfo(head.dtype).min
    sums = Sums(
        shift_N=head.hidden_ND.new_full((num_rows,), lowest, dtype=head.dtype),
        sums_4N=head.hidden_ND.new_zeros((4, num_rows), dtype=head.dtype),
        target_logit_N=head.hidden_ND.new_zeros((num_rows,), dtype=head.dtype),
    )
    if num_rows == 0:
        return sums
    tile, scratch = head.buffers()
    for block in head.blocks():
        for rows in head.row_slices():
            logits_RC = head.logits(rows, block, tile)
            column_R1, inside_R1 = local_targets(targets_N[rows], block.columns)
            target_R = sums.target_logit_N[rows]
            target_R.copy_(torch.where(inside_R1, logits_RC.gather(1, column_R1), target_R[:, None])[:, 0])
            _fold(logits_RC, shaped(scratch, *logits_RC.shape), sums.shift_N[rows], sums.sums_4N[:, rows])
    return sums


def local_targets(targets_R: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Column of each target inside a block, [R, 1] (0 where it lies elsewhere), and whether it lies inside."""
    local_R1 = targets_R[:, None] - columns.start
    inside_R1 = (local_R1 >= 0) & (local_R1 < columns.stop - columns.start)
    return torch.where(inside_R1, local_R1, 0), inside_R1


def _fold(logits_RC: Tensor, scratch_RC: Tensor, shift_R: Tensor, sums_4R: Tensor) -> None:
    """Add one tile to the sums; the tile and the scratch are spent."""
    new_shift_R = torch.maximum(shift_R, logits_RC.amax(dim=1))
    down_R = shift_R - new_shift_R
    decay_R = down_R.exp()
    mass_R, first_R, square_R, square_first_R = sums_4R
    first_R.add_(down_R * mass_R).mul_(decay_R)
    mass_R.mul_(decay_R)
    square_first_R.add_(down_R * square_R).mul_(decay_R.square())
    square_R.mul_(decay_R.square())
    shift_R.copy_(new_shift_R)

    torch.exp(logits_RC.sub_(new_shift_R[:, None]), out=scratch_RC)
    mass_R.add_(scratch_RC.sum(dim=1))
    first_R.add_(logits_RC.mul_(scratch_RC).sum(dim=1))
    square_first_R.add_(logits_RC.mul_(scratch_RC).sum(dim=1))
    square_R.add_(scratch_RC.square_().sum(dim=1))


def shaped(buffer: Tensor, rows: int, columns: int) -> Tensor:
    """The first rows·columns elements of a flat buffer as a matrix."""
    return buffer[: rows * columns].view(rows, columns)


def matmul(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Left·right into `out`; 16-bit factors give float32 results where the device can, else rounded ones."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(_widened(left, right, out.dtype))


def add_matmul(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Add left·right to `out`, with the same accuracy as `matmul`."""
    if left.dtype == out.dtype:
        out.addmm_(left, right)
    else:
        out.add_(_widened(left, right, out.dtype))


def _widened(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    if _multiplies_wide(left.device, left.dtype, dtype):
        return torch.mm(left, right, out_dtype=dtype)
    return torch.mm(left, right)


@cache
def _multiplies_wide(device: torch.device, factor: torch.dtype, result: torch.dtype) -> bool:
    """Whether this device's matrix product keeps the wide accumulator it has inside."""
    probe = torch.ones((16, 16), dtype=factor, device=device)
    try:
        torch.mm(probe, probe, out_dtype=result)
    except (RuntimeError, TypeError):
        return False
    return True
