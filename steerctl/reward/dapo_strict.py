r"""The reward of the DAPO recipe as released: string equality with a `\boxed{}` at the very end.

Of the response the last 300 characters are kept, of those the last 100; in them the last `\boxed{` whose braces match;
its content must equal the reference answer character by character, so `\boxed{ 34 }`, `\boxed{34.}` and
`\boxed{1,234}` are wrong. It is here to reproduce published runs; use math_verify otherwise.

Source: verl, `verl/utils/reward_score/math_dapo.py` with `strict_box_verify=True`. Departures: 1. the verdict is 1 or 0
(the recipe's -1 is `reward.incorrect`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from steerctl.reward import VerifierSpec
from steerctl.types import Problem, Verdict

_TAIL = 300
_WINDOW = 100
_BOX = "\\boxed{"


class DapoStrict(VerifierSpec):
    """String equality with the last box in the last 100 characters."""

    kind: Literal["dapo_strict"] = "dapo_strict"

    def open(self) -> DapoStrictVerifier:
        """The verifier itself; it holds nothing."""
        return DapoStrictVerifier()


class DapoStrictVerifier:
    """A Verifier without state."""

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order."""
        return [_verdict(problem.gold, text) for problem, text in pairs]

    def close(self) -> None:
        """Nothing to free."""


def strict_answer(text: str) -> str | None:
    """Content of the last box in the last 100 characters, unchanged; None without one or if its braces do not match."""
    return content_of_last_box(text[-_TAIL:][-_WINDOW:])


def content_of_last_box(text: str) -> str | None:
    r"""What stands in the last `\boxed{}`, unchanged; None without one or if its braces do not match."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth = 0
    for at in range(start + len(_BOX) - 1, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start + len(_BOX) : at]
    return None


def _verdict(gold: str, text: str) -> Verdict:
    answer = strict_answer(text)
    if answer is None:
        return Verdict(0.0, None, "no box in the last 100 characters", "no_answer")
    return Verdict(1.0 if answer == gold else 0.0, answer, "same text" if answer == gold else "other text")
