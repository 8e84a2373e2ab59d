"""A policy that is looked at and never trained: one process, a plain model, no DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from steerctl.engine.heads import StatsModel, check_head_agrees
from steerctl.engine.models import load_model
from steerctl.spec.experiment import PolicySpec
from steerctl.tensors import scatter_rows
from steerctl.types import TokenBatch, TokenStats


class Alone:
    """`protocols.Ranks` of a process without others."""

    rank, world_size = 0, 1

    def all_gather(self, value: Any) -> list[Any]:  # noqa: ANN401 (any picklable value)
        """The value itself."""
        return [value]


class FrozenPolicy(Alone):
    """`protocols.MeasuredPolicy` with the trainer's own statistics, at `temperature`.

    Raises:
        ModelError: the model cannot be loaded, or its logits are not a linear map of its last hidden state.
    """

    def __init__(self, policy: PolicySpec, *, seed: int, temperature: float, device: torch.device) -> None:
        model = load_model(policy, seed=seed)
        check_head_agrees(model)
        self.device = device
        self._model = StatsModel(model, temperature).to(device).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def measure(self, batch: TokenBatch) -> TokenStats:
        """Statistics at every target position."""
        mask_BT = batch.loss_mask_BT.to(self.device)
        rows = self._model(batch.input_ids_BT.to(self.device), mask_BT, batch.target_ids_BT.to(self.device), False)  # noqa: FBT003 (DeepSpeed's hooks pass positional arguments only)
        return TokenStats(*(scatter_rows(row_N, mask_BT) for row_N in rows))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter, by its Hugging Face name."""
        for name, parameter in self._model.parameter_names().items():
            yield name, parameter.detach()
