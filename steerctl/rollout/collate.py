"""Groups -> updates of padded micro-batches. The only place that shifts tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steerctl.rollout.plan import plan_micro_batches
from steerctl.tensors import pad_rows
from steerctl.types import RolloutGroup, TokenBatch, Update


@dataclass(frozen=True, slots=True)
class Row:
    """One response with what training needs of it; `index` is problem · G + sample within the step.

    prompt_ids: all that was given, a branch's share of its root included.
    """

    index: int
    prompt_ids: tuple[int, ...]
    token_ids_T: np.ndarray
    logprobs_T: np.ndarray
    advantage: float

    @property
    def length(self) -> int:
        """Target positions: every token but the first."""
        return len(self.prompt_ids) + len(self.token_ids_T) - 1


def collate(
    groups: Sequence[RolloutGroup],
    advantages_PG: Tensor,
    *,
    updates: int,
    rank: int,
    ranks: int,
    micro_batch_tokens: int,
    device: str = "cpu",
) -> tuple[Update, ...]:
    """Deal the groups, in order, evenly into `updates`; sort each update's responses by length into micro-batches.

    Every rank calls this with the same groups and keeps its own share.
    """
    if len(groups) % updates:
        raise ValueError(f"{len(groups)} groups cannot be dealt evenly into {updates} updates")
    per_update = len(groups) // updates
    built = []
    for index in range(updates):
        first = index * per_update
        rows = _rows(groups[first : first + per_update], advantages_PG[first : first + per_update], first)
        lengths = [row.length for row in rows]
        plan = plan_micro_batches(lengths, ranks, micro_batch_tokens)
        num_tokens = sum(len(row.token_ids_T) for row in rows)
        micro_batches = tuple(
            _micro_batch([rows[row] for row in chosen], num_tokens, len(rows), device) for chosen in plan[rank]
        )
        built.append(Update(index, micro_batches, num_tokens, len(rows)))
    return tuple(built)


def _rows(groups: Sequence[RolloutGroup], advantages_PG: Tensor, first: int) -> list[Row]:
    size = advantages_PG.shape[1]
    return [
        Row(
            index=(first + problem) * size + sample,
            prompt_ids=(*group.prompt_ids, *rollout.given_ids),
            token_ids_T=rollout.token_ids_T,
            logprobs_T=rollout.logprobs_T,
            advantage=float(advantages_PG[problem, sample]),
        )
        for problem, group in enumerate(groups)
        for sample, rollout in enumerate(group.rollouts)
    ]


def _micro_batch(rows: Sequence[Row], num_tokens: int, num_sequences: int, device: str) -> TokenBatch:
    """Shift and pad. Without rows: one padding row, so that this rank still takes part in every collective."""
    length = max((row.length for row in rows), default=1)
    ids = [torch.tensor([*row.prompt_ids, *row.token_ids_T.tolist()], dtype=torch.int64) for row in rows]
    ids = ids or [torch.zeros(2, dtype=torch.int64)]
    mask, advantages, logprobs = [], [], []
    for row in rows:
        trained = torch.zeros(row.length, dtype=torch.bool)
        trained[len(row.prompt_ids) - 1 :] = True
        mask.append(trained)
        advantages.append(trained.float() * row.advantage)
        reported = torch.zeros(row.length)
        reported[trained] = torch.from_numpy(np.asarray(row.logprobs_T, dtype=np.float32))
        logprobs.append(reported)
    nothing = [torch.zeros(1)]
    return TokenBatch(
        input_ids_BT=pad_rows([row[:-1] for row in ids], length, 0).to(device),
        target_ids_BT=pad_rows([row[1:] for row in ids], length, 0).to(device),
        loss_mask_BT=pad_rows(mask or [torch.zeros(1, dtype=torch.bool)], length, 0).to(device),
        advantages_BT=pad_rows(advantages or nothing, length, 0).to(device),
        rollout_logprobs_BT=pad_rows(logprobs or nothing, length, 0).to(device),
        row_B=torch.tensor([row.index for row in rows] or [-1], dtype=torch.int64, device=device),
        num_tokens=num_tokens,
        num_sequences=num_sequences,
    )
