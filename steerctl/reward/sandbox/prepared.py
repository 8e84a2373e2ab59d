"""The tests of problems in the form the sandbox takes, expected values filled in, kept for the next response."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from steerctl.reward.sandbox.check import Reference
from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.tests import ProblemTests, WrongTests, read
from steerctl.types import Problem

KEPT_BYTES = 512 << 20
"""Of prepared tests; the least recently used are dropped first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    given: object
    tests: ProblemTests | str
    size: int


class PreparedTests:
    """By problem; the reference solutions that are asked for expected values run in workers that are then replaced."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool, self._limits = pool, limits
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def of(self, problems: Iterable[Problem]) -> dict[str, ProblemTests | str]:
        """By problem id, its tests, or why there are none to be used."""
        found: dict[str, ProblemTests | str] = {}
        fresh: dict[str, Problem] = {}
        for problem in problems:
            kept = self._kept.get(problem.id)
            if kept is not None and kept.given is problem.info.get("tests"):
                self._kept.move_to_end(problem.id)
                found[problem.id] = kept.tests
            elif problem.id not in found:
                found[problem.id], fresh[problem.id] = self._read(problem), problem
        self._answer(found)
        for name, problem in fresh.items():
            self._keep(name, problem, found[name])
        return found

    def _read(self, problem: Problem) -> ProblemTests | str:
        try:
            return read(problem, self._limits)
        except (WrongTests, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            return f"unusable tests: {error}"

    def _answer(self, found: dict[str, ProblemTests | str]) -> None:
        """Let references say what the data leaves to them."""
        asked = {
            name: Reference(tests)
            for name, tests in found.items()
            if isinstance(tests, ProblemTests) and not tests.complete
        }
        if not asked:
            return
        self._pool.run(list(asked.values()))
        self._pool.renew()  # expected values went through these workers
        failed = {name: each.failure for name, each in asked.items() if each.failure}
        found.update({name: f"the reference solution fails: {why}" for name, why in failed.items()})

    def _keep(self, name: str, problem: Problem, tests: ProblemTests | str) -> None:
        old = self._kept.pop(name, None)
        kept = _Kept(problem.info.get("tests"), tests, _size(tests))
        self._kept[name] = kept
        self._bytes += kept.size - (old.size if old else 0)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].size


def _size(tests: ProblemTests | str) -> int:
    """Roughly, in bytes; Python values take about four times their text."""
    if isinstance(tests, str):
        return len(tests)
    programs = sum(len(given) + len(output) for given, output in tests.programs)
    return 5 * len(tests.sent) + sum(len(each or b"") for each in tests.expected) + programs
