"""Entropy interventions: one per file, Dials -> Dials. They compose left to right; the empty list is the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from pydantic import ConfigDict
from torch import Tensor

from steerctl.intervention._remarks import CLIP, Handles, Surroundings, with_meanings
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
class EntropyProducts:
    """What first-order theory needs to know of an update to foretell and to set its mean entropy.

    With F = Σ mask·scale·H, scale that of the loss's reduction (token_mean: F is the mean entropy), g_F its gradient,
    g the loss's gradient with the dials as they stand, P the optimiser's diagonal preconditioner in this update:

    against  ⟨g_F, P g⟩    an update θ −= η·P·g lowers F by η times this
    own      ⟨g_F, P g_F⟩  adding −c·F to the loss raises F by η·c times this
    """

    against: float
    own: float


class Slopes(Protocol):
    """Inner products of gradients over one update and all ranks, computed when asked for. Every call is collective."""

    @property
    def learning_rate(self) -> float:
        """η of the coming update."""

    @property
    def total_scale(self) -> float:
        """Σ mask·scale of the update, which turns F into a mean; 1 for token_mean."""

    def products(self) -> EntropyProducts:
        """Two forward and two backward passes over the update."""

    def sensitivities(self) -> Sequence[Tensor]:
        """⟨∇log π(target), P g_F⟩/total_scale [B, T] of this rank's micro-batches of the update, in order.

        A forward, a backward and two measuring passes.
        """


@dataclass(frozen=True, slots=True)
class Population:
    """The trained tokens a statistic is taken over: a micro-batch, an update or a step, over all ranks.

    views       this rank's micro-batches, the dials as turned by the interventions before
    all_gather  the collective that makes a statistic independent of the number of ranks
    step        sample-and-train iteration, from 0: for schedules and for memory that moves once a step
    update      optimiser step within it, from 0
    slopes      inner products of gradients over the update (also where the population is the step); None where each
                micro-batch is its own population
    min_p       κ -> log π̃(target) [B, T] of every view under the current policy's min-p proxy: one more pass each
    """

    views: Sequence[View]
    all_gather: Callable[[Any], list[Any]]
    step: int = 0
    update: int = 0
    slopes: Slopes | None = None
    min_p: Callable[[float], Sequence[Tensor]] | None = None

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

    model_config = ConfigDict(json_schema_extra=with_meanings)

    needs: ClassVar[frozenset[Need]] = frozenset()
    """Statistics beyond the standing four; the engine computes only what some active intervention declares."""
    inert_when_on_policy: ClassVar[bool] = False
    """True if the intervention cannot act on the first update after sampling (it needs a ratio away from 1)."""

    @property
    def turns(self) -> Handles:
        """What it changes, with these settings; for `steerctl check`, as are the four below.

        A subclass for which this, or one of the next two, never changes says it as a ClassVar; see _remarks.py.
        """
        return frozenset()

    @property
    def replaces(self) -> Handles:
        """What it sets whatever stood there before, so that earlier interventions' work on it is lost."""
        return frozenset()

    @property
    def reads(self) -> Handles:
        """What its own choice depends on, so that it must come after those that set it."""
        return frozenset()

    @property
    def sets_bounds(self) -> bool:
        """Whether it sets bounds that are meant for a token's ratio."""
        return bool(self.turns & CLIP)

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (none by default)
        """What leaves it, or one of its settings, without effect or with another one than was meant: one line each.

        A setting that is read only beside another one is marked with `OnlyWith` instead.
        """
        yield from ()

    @property
    def population_scope(self) -> Scope:
        """What `prepare` reads: nothing beyond each micro-batch, or the whole update or step, on all ranks.

        It is the setting `scope` where there is one, else neutral; a ClassVar where it is always the same word.
        "step" is read from the old statistics and costs nothing; "update" costs one more forward pass per update,
        except on the first, where the old statistics are the current ones.
        """
        scope: Scope = getattr(self, "scope", "micro_batch")
        return scope

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups with their rewards changed."""
        return groups

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (the default needs no population)
        """What to do with each micro-batch of the coming update."""
        return self.apply

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (neutral default)
        """The dials, turned."""
        return dials

    def renews_reference(self, steps: int) -> bool:  # noqa: ARG002 (the default never does)
        """Whether the reference policy shall become the current one now, after this many finished steps."""
        return False

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
