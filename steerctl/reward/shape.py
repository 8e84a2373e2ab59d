"""Verdicts and lengths to rewards."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from steerctl.reward.overlong import Overlong
from steerctl.types import Verdict


def shaped_rewards(
    verdicts: Sequence[Verdict],
    lengths: Sequence[int],
    *,
    correct: float,
    incorrect: float,
    overlong: Overlong | None,
    max_tokens: int,
) -> tuple[float, ...]:
    """The reward of each response: `incorrect + value * (correct - incorrect) + length penalty`.

    verdicts, lengths (in tokens, end token included) and the result are those of one group, aligned. Whether a group
    is informative is a matter of the verdicts, never of these numbers: the penalty alone makes an all-wrong group look
    uneven. A response that could not be judged has the mean value of those that were: against the group's mean it
    teaches nothing, where 0 would teach that it was wrong.

    Source: DAPO (arXiv 2503.14476) §3.4; the penalty is part of the reward before advantages are computed.
    """
    judged = [verdict.value for verdict in verdicts if verdict.judged]
    middle = fmean(judged) if judged else 0.0
    values = [verdict.value if verdict.judged else middle for verdict in verdicts]
    return tuple(
        incorrect + value * (correct - incorrect) + (overlong.penalty(length, max_tokens) if overlong else 0.0)
        for value, length in zip(values, lengths, strict=True)
    )
