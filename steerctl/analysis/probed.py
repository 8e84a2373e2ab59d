"""The chosen tokens of one update on this rank: what to compute again, and what was foretold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steerctl.analysis.positions import Pack, choose, lengths_of, packed, places, probe_mask
from steerctl.analysis.predict import Columns, predictions, update_means
from steerctl.intervention import View
from steerctl.types import OptimizerReport, TokenBatch, Update


@dataclass(frozen=True, slots=True)
class Choice:
    """How many tokens of an update are looked at, from how many responses, and the seed that decides which."""

    seed: int
    positions: int
    sequences: int


@dataclass(frozen=True, slots=True)
class Probed:
    """Tokens in the order of the micro-batches and, in each, row-major; N of them on this rank.

    index    of the update within its step, from 0
    masks    the chosen tokens of every micro-batch, bool [B, T]
    packs    how their sequences are put together; the same number on every rank
    batches  what is computed again: one per pack, its `loss_mask_BT` the chosen tokens
    """

    index: int
    masks: tuple[Tensor, ...]
    packs: tuple[Pack, ...]
    batches: tuple[TokenBatch, ...]

    @classmethod
    def of(
        cls,
        update: Update,
        all_gather: Callable[[Any], list[Any]],
        choice: Choice,
        number: int,
        token_budget: int,
    ) -> Self:
        """Choose them (`positions.choose`); collective.

        number        of the update within the run, from 0
        token_budget  padded positions of a batch
        """
        lengths = lengths_of(update.micro_batches, all_gather)
        chosen = choose(
            lengths, seed=choice.seed, update=number, positions=choice.positions, sequences=choice.sequences
        )
        masks = tuple(probe_mask(batch, chosen) for batch in update.micro_batches)
        most = max(all_gather(len(packed(masks, token_budget))))
        packs = tuple(packed(masks, token_budget, at_least=most))
        batches = tuple(pack.batch(update.micro_batches, masks) for pack in packs)
        return cls(update.index, masks, packs, batches)

    def pick(self, values: Sequence[Tensor]) -> NDArray[np.float64]:
        """The chosen tokens' values [N] of a [B, T] tensor per entry of `batches`."""
        rows = [value_BT[batch.loss_mask_BT] for value_BT, batch in zip(values, self.batches, strict=True)]
        found: NDArray[np.float64] = (torch.cat(rows) if rows else torch.zeros(0)).double().cpu().numpy()
        return found

    def foretold(
        self,
        views: Sequence[View],
        report: OptimizerReport,
        all_gather: Callable[[Any], list[Any]],
        *,
        dual_clip: float | None = None,
        sensitivities: Sequence[Tensor] | None = None,
    ) -> Columns:
        """KEYS of table.py, the prediction columns and the update's learning rate and gradient norm; collective.

        views          this rank's micro-batches of the update, with the dials and statistics of its loss
        sensitivities  ⟨∇log π, P g_H⟩ [B, T] of each; without them there is no column `influence`
        """
        means = update_means(views, all_gather, dual_clip=dual_clip)
        parts = []
        for place, (view, mask_BT) in enumerate(zip(views, self.masks, strict=True)):
            where = places(view.batch, mask_BT)
            slope_BT = None if sensitivities is None else sensitivities[place]
            found = predictions(view, mask_BT, means, dual_clip=dual_clip, sensitivity_BT=slope_BT)
            parts.append({"row": where.row_N, "position": where.position_N, **found})
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        count = len(columns["row"])
        return columns | {
            "update": np.full(count, self.index + 1),
            "learning_rate": np.full(count, report.learning_rate),
            "grad_norm": np.full(count, report.grad_norm),
        }
