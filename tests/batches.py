"""Random micro-batches with consistent statistics, made from the softmax of random logits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from steerctl.entropy.stats import stats_from_logits
from steerctl.intervention import View
from steerctl.loss.ppo_clip import PpoClip
from steerctl.types import TokenBatch, TokenStats


@dataclass(frozen=True)
class Case:
    """A micro-batch, the logits of the current policy (with gradient) and their statistics."""

    batch: TokenBatch
    logits_BTV: Tensor
    stats: TokenStats

    def view(self, loss: PpoClip | None = None) -> View:
        return View((loss or PpoClip()).neutral_dials(self.batch), self.batch, self.stats)


def stats_of(logits_BTV: Tensor, targets_BT: Tensor, mask_BT: Tensor) -> TokenStats:
    """Statistics at every position, zero outside the mask."""
    rows = stats_from_logits(logits_BTV.reshape(-1, logits_BTV.shape[-1]), targets_BT.reshape(-1))

    def shaped(values_N: Tensor) -> Tensor:
        return torch.where(mask_BT, values_N.reshape(mask_BT.shape), 0.0)

    return TokenStats(
        logprobs_BT=shaped(rows.logprobs_N),
        entropy_BT=shaped(rows.entropy_N),
        mean_score_BT=shaped(rows.mean_score_N),
        collision_BT=shaped(rows.collision_N),
    )


def make_case(
    seed: int = 0,
    *,
    rows: int = 6,
    length: int = 9,
    vocabulary: int = 7,
    drift: float = 0.3,
    sharpness: float = 2.0,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Responses of random lengths after random prompts; the current policy is `drift` away from the old one."""
    rng = torch.Generator().manual_seed(seed)
    old_logits_BTV = sharpness * torch.randn((rows, length, vocabulary), generator=rng, dtype=dtype)
    logits_BTV = old_logits_BTV + drift * torch.randn((rows, length, vocabulary), generator=rng, dtype=dtype)
    logits_BTV.requires_grad_()
    targets_BT = torch.distributions.Categorical(logits=old_logits_BTV).probs.reshape(-1, vocabulary)
    targets_BT = torch.multinomial(targets_BT, 1, generator=rng).reshape(rows, length)
    starts_B1 = torch.randint(0, 3, (rows, 1), generator=rng)
    ends_B1 = torch.randint(4, length + 1, (rows, 1), generator=rng)
    positions_1T = torch.arange(length)[None]
    mask_BT = (positions_1T >= starts_B1) & (positions_1T < ends_B1)
    advantages_B1 = torch.randn((rows, 1), generator=rng, dtype=dtype)
    with torch.no_grad():
        old = stats_of(old_logits_BTV, targets_BT, mask_BT)
        ref_BT = stats_of(old_logits_BTV + drift, targets_BT, mask_BT).logprobs_BT
    batch = TokenBatch(
        input_ids_BT=torch.zeros_like(targets_BT),
        target_ids_BT=targets_BT,
        loss_mask_BT=mask_BT,
        advantages_BT=torch.where(mask_BT, advantages_B1, 0.0),
        rollout_logprobs_BT=old.logprobs_BT,
        row_B=torch.arange(rows),
        num_tokens=int(mask_BT.sum()),
        num_sequences=rows,
        old=old,
        ref_logprobs_BT=ref_BT,
    )
    return Case(batch, logits_BTV, stats_of(logits_BTV, targets_BT, mask_BT))


def cut(case: Case, sizes: list[int]) -> list[Case]:
    """The same update as micro-batches of these numbers of sequences; totals stay the update's."""
    pieces, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        batch = replace(
            case.batch,
            **{
                name: getattr(case.batch, name)[rows]
                for name in ("input_ids_BT", "target_ids_BT", "loss_mask_BT", "advantages_BT", "rollout_logprobs_BT")
            },
            row_B=case.batch.row_B[rows],
            old=_rows(case.batch.old_stats, rows),
            ref_logprobs_BT=None if case.batch.ref_logprobs_BT is None else case.batch.ref_logprobs_BT[rows],
        )
        pieces.append(Case(batch, case.logits_BTV, _rows(case.stats, rows)))
        start += size
    assert start == case.batch.loss_mask_BT.shape[0]
    return pieces


def _rows(stats: TokenStats, rows: slice) -> TokenStats:
    return TokenStats(
        stats.logprobs_BT[rows], stats.entropy_BT[rows], stats.mean_score_BT[rows], stats.collision_BT[rows]
    )
