"""Which tokens of an update are looked at: drawn from a seed, whatever the ranks and micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from steerctl.types import TokenBatch

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Places:
    """Probed tokens of one micro-batch in the order of `mask[...]`: row of the step, place in the response, both [N].

    A row is problem · G + sample, as in `TokenBatch.row_B`; places count from 0.
    """

    row_N: NDArray[np.int64]
    position_N: NDArray[np.int64]


def choose(
    lengths: Mapping[int, int], *, seed: int, update: int, positions: int, sequences: int
) -> dict[int, NDArray[np.int64]]:
    """Chosen tokens: row -> places in the response, ascending; a pure function of its arguments.

    The `sequences` rows with the smallest hash of (seed, update, row), then of all their tokens the `positions` with
    the smallest hash of (seed, update, row, place); all where there are fewer. Every token of the update has the same
    chance as its response's others; those of short responses have more company in theirs.

    lengths  trained tokens of every response of the update, over all ranks; rows without any are passed over
    update   number of the update within the run, so that each looks at others
    """
    rows = np.array(sorted(row for row, length in lengths.items() if length > 0), dtype=np.int64)
    if not len(rows):
        return {}
    chosen = np.sort(rows[np.argsort(_hashes(seed, update, rows), kind="stable")[:sequences]])
    row_N = np.repeat(chosen, [lengths[row] for row in chosen.tolist()])
    position_N = np.concatenate([np.arange(lengths[row]) for row in chosen.tolist()])
    kept = np.sort(np.argsort(_hashes(seed, update, row_N, position_N + 1), kind="stable")[:positions])
    row_N, position_N = row_N[kept], position_N[kept]
    return {int(row): position_N[row_N == row] for row in np.unique(row_N).tolist()}


def lengths_of(batches: Iterable[TokenBatch], all_gather: Callable[[Any], list[Any]]) -> dict[int, int]:
    """Trained tokens of every response of the update, by row; collective, alike on every rank."""
    own = {
        row: count
        for batch in batches
        for row, count in zip(batch.row_B.tolist(), batch.loss_mask_BT.sum(dim=1).tolist(), strict=True)
        if row >= 0
    }
    return {row: count for share in all_gather(own) for row, count in share.items()}


def probe_mask(batch: TokenBatch, chosen: Mapping[int, NDArray[np.int64]]) -> Tensor:
    """True at the chosen tokens of this micro-batch; bool [B, T]."""
    mask_BT = torch.zeros_like(batch.loss_mask_BT)
    for place, row in enumerate(batch.row_B.tolist()):
        if row in chosen:
            trained = batch.loss_mask_BT[place].nonzero()[:, 0]
            mask_BT[place, trained[torch.from_numpy(chosen[row]).to(trained.device)]] = True
    return mask_BT


def places(batch: TokenBatch, mask_BT: Tensor) -> Places:
    """Where the tokens of `mask_BT` are, in its order (row-major)."""
    position_BT = batch.loss_mask_BT.long().cumsum(dim=1) - 1
    row_BT = batch.row_B[:, None].expand_as(mask_BT)
    return Places(row_BT[mask_BT].cpu().numpy(), position_BT[mask_BT].cpu().numpy())


@dataclass(frozen=True, slots=True)
class Pack:
    """Sequences of several micro-batches side by side, those with a chosen token alone, no longer than need be.

    members  micro-batches, by index, in their order
    rows     of each, which of its sequences; bool [B]
    width    positions: up to the last chosen token, since later ones change nothing about it
    """

    members: tuple[int, ...]
    rows: tuple[Tensor, ...]
    width: int

    def gather(self, values: Sequence[Tensor]) -> Tensor:
        """From a [B, T] tensor per micro-batch of the update; zero where a member is narrower."""
        parts = [values[index][rows_B, : self.width] for index, rows_B in zip(self.members, self.rows, strict=True)]
        return torch.cat([functional.pad(part, (0, self.width - part.shape[1])) for part in parts])

    def batch(self, batches: Sequence[TokenBatch], masks: Sequence[Tensor]) -> TokenBatch:
        """The sequences as a micro-batch in which nothing but the chosen tokens is trained, without statistics."""
        rows = [batches[index].row_B[rows_B] for index, rows_B in zip(self.members, self.rows, strict=True)]
        return TokenBatch(
            input_ids_BT=self.gather([each.input_ids_BT for each in batches]),
            target_ids_BT=self.gather([each.target_ids_BT for each in batches]),
            loss_mask_BT=self.gather(masks),
            advantages_BT=self.gather([each.advantages_BT for each in batches]),
            rollout_logprobs_BT=self.gather([each.rollout_logprobs_BT for each in batches]),
            row_B=torch.cat(rows),
            num_tokens=batches[0].num_tokens,
            num_sequences=batches[0].num_sequences,
        )


def packed(masks: Sequence[Tensor], token_budget: int, at_least: int = 0) -> list[Pack]:
    """Packs that hold every token of `masks`, in order, of at most `token_budget` padded positions where one can.

    Small ones cost more than what is in them. at_least: so many packs, the last ones of one sequence and one position
    without a chosen token, so that this rank takes part in what others do.
    """
    found: list[Pack] = []
    for index, mask_BT in enumerate(masks):
        rows_B = mask_BT.any(dim=1)
        if not bool(rows_B.any()):
            continue
        alone = Pack((index,), (rows_B,), int(mask_BT.any(dim=0).nonzero().max()) + 1)
        joint = _side_by_side(found[-1], alone) if found else alone
        if found and sum(int(rows.sum()) for rows in joint.rows) * joint.width <= token_budget:
            found[-1] = joint
        else:
            found.append(alone)
    nothing = Pack((0,), (torch.arange(len(masks[0]), device=masks[0].device) == 0,), 1)
    return found + [nothing] * (at_least - len(found))


def _side_by_side(left: Pack, right: Pack) -> Pack:
    return Pack((*left.members, *right.members), (*left.rows, *right.rows), max(left.width, right.width))


def _hashes(seed: int, update: int, *numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number of 64 bits for each element; SplitMix64's finaliser over one word after the other."""
    with np.errstate(over="ignore"):
        state: NDArray[np.uint64] = np.full(numbers[0].shape, seed % 2**64, dtype=np.uint64)
        for word in (np.full_like(state, update % 2**64), *(each.astype(np.uint64) for each in numbers)):
            state = _finalise(state + word + np.uint64(_GOLDEN))
        return state


def _finalise(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX[0])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX[1])
    return state ^ (state >> np.uint64(31))
