r"""The last `\boxed{}` must be the reference answer, character by character.

Nothing is normalised: `\boxed{ 34 }`, `\boxed{34.}` and `\boxed{1,234}` are wrong. The box may stand anywhere after
`</think>`, which dapo_strict does not allow, and any of `info["golds"]` is accepted. It is a lower bound for graders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from steerctl.reward import VerifierSpec
from steerctl.reward.dapo_strict import content_of_last_box
from steerctl.reward.grading.batch import storable
from steerctl.types import Problem, Verdict


class Strict(VerifierSpec):
    """String equality with the last boxed answer."""

    kind: Literal["strict"] = "strict"

    def open(self) -> StrictVerifier:
        """The verifier itself; it holds nothing."""
        return StrictVerifier()


class StrictVerifier:
    """A Verifier without state."""

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order."""
        return [_verdict(problem, text) for problem, text in pairs]

    def close(self) -> None:
        """Nothing to free."""


def _verdict(problem: Problem, text: str) -> Verdict:
    answer = content_of_last_box(text.rpartition("</think>")[2])
    if answer is None:
        return Verdict(0.0, None, "no box", "no_answer")
    right = answer in (problem.info.get("golds") or (problem.gold,))
    return Verdict(float(right), storable(answer), "same text" if right else "other text")
