"""Rollout groups -> tallies: rewards, accuracy, lengths, verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from steerctl.metrics.moments import Moments
from steerctl.metrics.tally import Mean, Tally
from steerctl.types import RolloutGroup, Status

STATUSES: Final[tuple[Status, ...]] = (
    "timeout", "oom", "crash", "error", "infra_error", "no_answer", "too_long",
)  # fmt: skip


def group_tally(groups: Sequence[RolloutGroup], *, replaced: int = 0) -> Tally:
    """What a step's groups say; `replaced` groups were sampled and thrown away by dynamic sampling."""
    if not groups:
        return Tally(counts={"groups/replaced/count": float(replaced)})
    rewards = [reward for group in groups for reward in group.rewards_G]
    verdicts = [verdict for group in groups for verdict in group.verdicts]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    lengths = [len(rollout.token_ids_T) for rollout in rollouts]
    statuses = Counter(verdict.status for verdict in verdicts)
    means = {
        "reward/mean": rewards,
        "accuracy/mean": (verdict.value for verdict in verdicts),
        "accuracy/any": (_any_right(group) for group in groups),
        "groups/no_signal/fraction": (len(set(group.rewards_G)) == 1 for group in groups),
        "groups/all_right/fraction": (all(verdict.value == 1 for verdict in group.verdicts) for group in groups),
        "groups/all_wrong/fraction": (all(verdict.value == 0 for verdict in group.verdicts) for group in groups),
        "response/length/mean": lengths,
        "response/truncated/fraction": (rollout.finish == "length" for rollout in rollouts),
        "prompt/length/mean": (len(group.prompt_ids) for group in groups),
    }
    return Tally(
        means={key: _mean(values) for key, values in means.items()},
        counts={
            "groups/replaced/count": float(replaced),
            **{f"verifier/{status}/count": float(statuses[status]) for status in STATUSES},
        },
        maxima={"reward/max": max(rewards), "response/length/max": float(max(lengths))},
        minima={"reward/min": min(rewards), "response/length/min": float(min(lengths))},
        moments={"reward": Moments.of(np.array([rewards], dtype=np.float64))},
        readings={"reward": read_reward},
    )


def validation_tally(groups: Sequence[RolloutGroup]) -> Tally:
    """Accuracy and lengths on the validation problems."""
    verdicts = [verdict for group in groups for verdict in group.verdicts]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    means = {
        "validation/accuracy/mean": (verdict.value for verdict in verdicts),
        "validation/accuracy/any": (_any_right(group) for group in groups),
        "validation/length/mean": (len(rollout.token_ids_T) for rollout in rollouts),
        "validation/truncated/fraction": (rollout.finish == "length" for rollout in rollouts),
    }
    return Tally(
        means={key: _mean(values) for key, values in means.items()},
        counts={"validation/responses/count": float(len(rollouts))},
    )


def read_reward(moments: Moments) -> dict[str, float]:
    """Standard deviation of the rewards, divisor n."""
    return {"reward/std": moments.deviation(np.ones(1))}


def _any_right(group: RolloutGroup) -> bool:
    return any(verdict.value == 1 for verdict in group.verdicts)


def _mean(values: Iterable[float]) -> Mean:
    numbers = [float(value) for value in values]
    return Mean(sum(numbers), float(len(numbers)))
