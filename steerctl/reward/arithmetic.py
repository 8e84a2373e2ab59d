"""The verifier of the arithmetic problems: the integer after the last "####" must be the reference answer exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from steerctl.reward import VerifierSpec
from steerctl.types import Problem, Verdict

ANSWER_MARK = "####"
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Arithmetic(VerifierSpec):
    """The integer after the last "####", compared exactly."""

    kind: Literal["arithmetic"] = "arithmetic"

    def open(self) -> ArithmeticVerifier:
        """The verifier itself; it holds nothing."""
        return ArithmeticVerifier()


class ArithmeticVerifier:
    """A Verifier without state."""

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order."""
        return [_verdict(problem.gold, text) for problem, text in pairs]

    def close(self) -> None:
        """Nothing to free."""


def extract_answer(text: str) -> str | None:
    """The integer between the last "####" and the end, in canonical form; None if something else stands there.

    Only white space may stand around it, and it has at most 18 digits.
    Example: "57+8=65####065" gives "65"; "####65.", "####" and "65" give None.
    """
    _, mark, tail = text.rpartition(ANSWER_MARK)
    answer = tail.strip()
    return str(int(answer)) if mark and _INTEGER.fullmatch(answer) else None


def _verdict(gold: str, text: str) -> Verdict:
    answer = extract_answer(text)
    if answer is None:
        return Verdict(0.0, None, f"no integer after {ANSWER_MARK}", "no_answer")
    right = answer == gold
    return Verdict(1.0 if right else 0.0, answer, "same integer" if right else "other integer")
