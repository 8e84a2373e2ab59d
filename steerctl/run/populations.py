"""What each intervention may look at before an update, and the turns that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from steerctl.intervention import Intervention, Population, View, fold
from steerctl.loss import Surrogate
from steerctl.protocols import Policy
from steerctl.types import TokenBatch, TokenStats, Update

if TYPE_CHECKING:
    from steerctl.intervention import Turn

Pairs = Sequence[tuple[TokenBatch, TokenStats]]


def prepare_turns(
    interventions: Sequence[Intervention],
    surrogate: Surrogate,
    policy: Policy,
    update: Update,
    updates: Sequence[Update],
    *,
    step: int,
) -> list[Turn]:
    """One turn per intervention for `update`, each prepared on dials as turned by those before it.

    An intervention of scope `update` sees the statistics of the policy as it is now, which costs a forward pass over
    the update (except before the first, where they are the old statistics); one of scope `step` sees the old
    statistics of the whole step; one of scope `micro_batch` sees nothing in advance.
    """

    @cache
    def live() -> Pairs:
        if update.index == 0:
            return [(batch, batch.old_stats) for batch in update.micro_batches]
        return [(batch, policy.measure(batch)) for batch in update.micro_batches]

    def whole_step() -> Pairs:
        return [(batch, batch.old_stats) for each in updates for batch in each.micro_batches]

    sources: dict[str, Callable[[], Pairs]] = {"micro_batch": list, "update": live, "step": whole_step}
    turns: list[Turn] = []
    for intervention in interventions:
        views = _views(sources[intervention.population_scope](), surrogate, tuple(turns))
        turns.append(intervention.prepare(Population(views, policy.all_gather, step, update.index)))
    return turns


def _views(pairs: Pairs, surrogate: Surrogate, turns: Iterable[Turn]) -> tuple[View, ...]:
    return tuple(
        View(fold(turns, surrogate.neutral_dials(batch), batch, stats), batch, stats) for batch, stats in pairs
    )
