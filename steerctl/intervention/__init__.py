"""Entropy interventions: one per file, Dials -> Dials. They compose left to right; the empty list is the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from steerctl.plugins import Plugin
from steerctl.types import Dials, Need, RolloutGroup, Scope, TokenBatch, TokenStats

Turn = Callable[[Dials, TokenBatch, TokenStats], Dials]
"""An intervention that has seen its population: pure, called once per micro-batch."""

Measure = Callable[[Dials, TokenBatch, TokenStats], Tensor]
"""A number per target position [B, T]."""


@dataclass(frozen=True, slots=True)
class View:
    """One micro-batch as an intervention sees it before its own turn."""

    dials: Dials
    batch: TokenBatch
    stats: TokenStats


@dataclass(frozen=True, slots=True)
class Population:
    """The trained tokens a statistic is taken over: a micro-batch, an update or a step, over all ranks.

    views       this rank's micro-batches, the dials as turned by the interventions before
    all_gather  the collective that makes a statistic independent of the number of ranks
    step        sample-and-train iteration, from 0: for schedules and for memory that moves once a step
    update      optimiser step within it, from 0
    """

    views: Sequence[View]
    all_gather: Callable[[Any], list[Any]]
    step: int = 0
    update: int = 0

    @classmethod
    def alone(cls, view: View) -> Population:
        """The population of one micro-batch on one rank, as released codes take it (scope `micro_batch`)."""
        return cls((view,), lambda value: [value])

    def gather(self, measure: Measure) -> Tensor:
        """`measure` at every trained token of the population [N], on every rank, in rank order; detached."""
        with torch.no_grad():
            own = [measure(view.dials, view.batch, view.stats)[view.batch.loss_mask_BT] for view in self.views]
        parts = self.all_gather(torch.cat(own).detach().cpu())
        return torch.cat(parts).to(own[0].device)


class Intervention(Plugin):
    """One published way to steer entropy, with at most three moments, each neutral by default.

    reshape  once per step, before the advantages: rewards and whole groups
    prepare  once per update: statistics over a population; returns the turn
    apply    once per micro-batch: a pure function of the dials (the default turn)
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    """Statistics beyond the standing four; the engine computes only what some active intervention declares."""
    inert_when_on_policy: ClassVar[bool] = False
    """True if the intervention cannot act on the first update after sampling (it needs a ratio away from 1)."""

    @property
    def population_scope(self) -> Scope:
        """What `prepare` reads: nothing beyond each micro-batch (neutral), or the whole update or step, on all ranks.

        "step" is read from the old statistics and costs nothing; "update" costs one more forward pass per update,
        except on the first, where the old statistics are the current ones.
        """
        return "micro_batch"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups with their rewards changed."""
        return groups

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (the default needs no population)
        """What to do with each micro-batch of the coming update."""
        return self.apply

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (neutral default)
        """The dials, turned."""
        return dials

    def state_dict(self) -> Mapping[str, Any]:
        """What must survive a resume, as JSON values; empty for the memoryless."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def fold(turns: Iterable[Turn], dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
    """The dials after every turn, left to right."""
    for turn in turns:
        dials = turn(dials, batch, stats)
    return dials
