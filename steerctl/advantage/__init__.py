"""Advantage estimators: one per file, rewards_PG -> advantages_PG."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from steerctl.plugins import Plugin

if TYPE_CHECKING:
    from torch import Tensor


class Advantage(Plugin):
    """Credit for each rollout of each group, computed on every rank from all groups of the step."""

    @property
    def least_group_size(self) -> int:
        """Fewest samples per problem that it can work with; 1 if it compares no responses to the same problem."""
        return 2

    @abstractmethod
    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:
        """Advantages [P, G], float32; `lengths_PG` are the response lengths in tokens, int64."""
