"""Log-probabilities of the responses by the same policy with a hint in its prompt: a teacher that knows the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from steerctl.protocols import MeasuredPolicy
from steerctl.rollout.collate import collate
from steerctl.types import RolloutGroup, TokenBatch, Update


@dataclass(frozen=True, slots=True)
class Teacher:
    """hinted_ids: by problem, the prompt with the hint in it."""

    hinted_ids: Mapping[str, tuple[int, ...]]
    micro_batch_tokens: int
    device: str

    def taught(
        self, policy: MeasuredPolicy, groups: Sequence[RolloutGroup], updates: Sequence[Update]
    ) -> tuple[Update, ...]:
        """The updates with `teacher_logprobs_BT` by the current policy: one more pass over the step. Collective."""
        found = self._logprobs(policy, groups)
        return tuple(
            replace(update, micro_batches=tuple(_with_rows(batch, found) for batch in update.micro_batches))
            for update in updates
        )

    def _logprobs(self, policy: MeasuredPolicy, groups: Sequence[RolloutGroup]) -> dict[int, Tensor]:
        """The log π(token | hinted prompt, earlier tokens) of every response of the step, by row."""
        hinted = [replace(group, prompt_ids=self.hinted_ids[group.problem.id]) for group in groups]
        (whole,) = collate(
            hinted, torch.zeros((len(groups), len(groups[0].rollouts))), updates=1, rank=policy.rank,
            ranks=policy.world_size, micro_batch_tokens=self.micro_batch_tokens, device=self.device,
        )  # fmt: skip
        own: dict[int, Tensor] = {}
        for batch in whole.micro_batches:
            logprobs_BT = policy.measure(batch).logprobs_BT
            for place, row in enumerate(batch.row_B.tolist()):
                own[row] = logprobs_BT[place][batch.loss_mask_BT[place]].cpu()
        return {row: values for share in policy.all_gather(own) for row, values in share.items()}


def _with_rows(batch: TokenBatch, found: Mapping[int, Tensor]) -> TokenBatch:
    """The values of each row at its trained positions, 0 elsewhere."""
    teacher_BT = torch.zeros_like(batch.advantages_BT)
    for place, row in enumerate(batch.row_B.tolist()):
        if row >= 0:
            teacher_BT[place, batch.loss_mask_BT[place]] = found[row].to(teacher_BT)
    return replace(batch, teacher_logprobs_BT=teacher_BT)
