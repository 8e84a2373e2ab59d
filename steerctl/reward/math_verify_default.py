r"""math-verify 0.9 as published, on the whole response: to reproduce numbers that were made with it.

Known to be wrong where math_verify is not: all boxes of a response are merged into a set, a number in prose counts,
decimals are rounded to six places (1e-7 equals 2e-7), `1e5` is five times Euler's number, a set equals a pair.

Source: huggingface/Math-Verify 0.9.0, `parse` and `verify` with their default arguments; the reference answer is put in
a `\boxed{}`. Departures: 1. each response is judged in a process that is killed at `time_limit_seconds`; 2. only the
last `max_characters` of a response are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from steerctl.reward import VerifierSpec
from steerctl.reward.grading.batch import Asked, settle, storable
from steerctl.reward.grading.pool import Task, WorkerPool
from steerctl.types import Problem, Verdict


class MathVerifyDefault(VerifierSpec):
    """math-verify with its default settings."""

    kind: Literal["math_verify_default"] = "math_verify_default"
    workers: PositiveInt = 2
    """Processes; started when the first response comes."""
    time_limit_seconds: PositiveFloat = 6.0
    """Wall clock for one response; then the process is killed and the answer is wrong, status timeout."""
    memory_gib: PositiveFloat = 2.0
    """Address space of each process."""
    max_characters: PositiveInt = 50_000
    """Of a longer response only the end is read."""

    def open(self) -> MathVerifyDefaultVerifier:
        """The verifier itself; whoever opens it closes it."""
        return MathVerifyDefaultVerifier(self)


class MathVerifyDefaultVerifier:
    """A Verifier with worker processes; not for use from two threads at once."""

    def __init__(self, spec: MathVerifyDefault) -> None:
        self._spec = spec
        self.pool = WorkerPool(spec.workers, spec.time_limit_seconds, spec.memory_gib)

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order; the answer shown is the end of the response."""
        return settle(self.pool, [self._asked(problem, text) for problem, text in pairs])

    def close(self) -> None:
        """End the worker processes; may be called twice."""
        self.pool.close()

    def _asked(self, problem: Problem, text: str) -> Asked:
        read = storable(text[-self._spec.max_characters :])
        return Asked(read[-100:].strip(), (Task("default", problem.gold, (read,)),))
