"""What a step leaves behind: its metrics and its table of rollouts, the same on every rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from steerctl.loss import Surrogate
from steerctl.metrics.groups import group_tally
from steerctl.metrics.mismatch import mismatch_tally, staleness_tally
from steerctl.metrics.probe import probe_tally
from steerctl.metrics.tally import Tally
from steerctl.metrics.tokens import optimizer_tally, state_tally, update_tally
from steerctl.protocols import Ranks
from steerctl.run.step import StepOutcome
from steerctl.store.rollouts import RolloutTable, filled, token_rows
from steerctl.types import TokenStats


def step_metrics(outcome: StepOutcome, surrogate: Surrogate, ranks: Ranks) -> dict[str, float]:
    """The metrics of a step by key (metrics/catalogue.py), timings aside; collective."""
    dual_clip: float | None = getattr(surrogate, "dual_clip", None)
    after: Sequence[TokenStats | None] = outcome.after or [None] * len(outcome.views)
    tallies = []
    for view, then in zip(outcome.views, after, strict=True):
        slope_BT = None if surrogate.clips == "token" else surrogate.slope(view.dials, view.batch, view.stats)
        tallies.append(update_tally(view.batch, view.stats, view.dials, dual_clip=dual_clip, slope_BT=slope_BT))
        tallies.append(state_tally(view.batch, view.dials, then))
        tallies.append(mismatch_tally(view.batch))
    if ranks.rank == 0:  # every rank knows these; one counts them
        tallies.append(group_tally(outcome.groups, replaced=outcome.collected.replaced))
        tallies.append(staleness_tally(outcome.groups, outcome.step))
        tallies += [optimizer_tally(report) for report in outcome.reports]
        tallies += [probe_tally(tokens) for tokens in outcome.probed]
    return Tally.merged(tallies).over_ranks(ranks.all_gather).finish()


def rollout_table(outcome: StepOutcome, ranks: Ranks) -> RolloutTable:
    """Every response of the step with what the policy made of each of its tokens; collective."""
    columns: dict[str, Callable[[int], Tensor]] = {
        "old_logprobs": lambda i: outcome.views[i].batch.old_stats.logprobs_BT,
        "entropy": lambda i: outcome.views[i].batch.old_stats.entropy_BT,
        "mean_score": lambda i: outcome.views[i].batch.old_stats.mean_score_BT,
        "token_advantage": lambda i: outcome.views[i].dials.advantages_BT,
        "weight": lambda i: outcome.views[i].dials.weight_BT,
    }
    corrections = [view.batch.correction.weight_BT for view in outcome.views if view.batch.correction is not None]
    if corrections:
        columns["correction"] = lambda i: corrections[i]
    if outcome.after:
        columns["logprobs_after"] = lambda i: outcome.after[i].logprobs_BT
        columns["entropy_after"] = lambda i: outcome.after[i].entropy_BT
    rows = outcome.advantages_PG.numel()
    batches = [view.batch for view in outcome.views]
    own = {
        name: token_rows(((batch, pick(i)) for i, batch in enumerate(batches)), rows) for name, pick in columns.items()
    }
    shares: Sequence[dict[str, list[NDArray[np.float32]]]] = ranks.all_gather(own)
    tokens = {name: filled([share[name] for share in shares]) for name in columns}
    return RolloutTable.of(outcome.groups, outcome.advantages_PG.flatten().tolist(), tokens)
