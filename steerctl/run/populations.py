"""What each intervention may look at before an update, and the turns that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from torch import Tensor

from steerctl.intervention import Intervention, Population, View, fold
from steerctl.loss import Surrogate
from steerctl.protocols import Policy
from steerctl.rollout.correction import corrected
from steerctl.run.slopes import Loss, UpdateSlopes
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
    loss: Loss,
) -> list[Turn]:
    """One turn per intervention for `update`, each prepared on dials as turned by those before it.

    The last turn is the correction of rollouts, which no intervention sees.

    An intervention of scope `update` sees the statistics of the policy as it is now, which costs a forward pass over
    the update (except before the first, where they are the old statistics); one of scope `step` sees the old
    statistics of the whole step; one of scope `micro_batch` sees nothing in advance. Gradients cost passes of
    their own, when an intervention asks its population for them.
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
        population = Population(views, policy.all_gather, step, update.index)
        if intervention.population_scope != "micro_batch":
            slopes = UpdateSlopes(policy, surrogate, loss, update, (*turns, corrected), step)
            population = replace(population, slopes=slopes, min_p=partial(_min_p_logprobs, policy, views))
        turns.append(intervention.prepare(population))
    return [*turns, corrected]


def _min_p_logprobs(policy: Policy, views: Sequence[View], min_p: float) -> list[Tensor]:
    return [policy.min_p_logprobs(view.batch, min_p) for view in views]


def _views(pairs: Pairs, surrogate: Surrogate, turns: Iterable[Turn]) -> tuple[View, ...]:
    return tuple(
        View(fold(turns, surrogate.neutral_dials(batch), batch, stats), batch, stats) for batch, stats in pairs
    )
