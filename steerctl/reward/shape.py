"""Verdicts and lengths to rewards."""

from __future__ import annotations

from collections.abc import Sequence

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

    verdicts, lengths (in tokens, end token included) and the result are aligned. Whether a group is informative is a
    matter of the verdicts, never of these numbers: the penalty alone makes an all-wrong group look uneven.

    Source: DAPO (arXiv 2503.14476) §3.4; the penalty is part of the reward before advantages are computed.
    """
    return tuple(
        incorrect + verdict.value * (correct - incorrect) + (overlong.penalty(length, max_tokens) if overlong else 0.0)
        for verdict, length in zip(verdicts, lengths, strict=True)
    )
