"""Programs, judged by running them against the problem's tests in a sandbox.

The program is the last closed Python block of the response (fenced, marked python or not marked), after the reasoning
if that is marked off. The verdict is 1.0 if every test passes, else 0.0. It is computed outside the process that runs
the program, from the values the program returned or the text it printed; expected outputs never enter that process. So
an object that equals everything, an early exit or a patched comparison gains nothing.

Statuses: timeout (the program was too slow), oom (it ran out of its memory), crash (it was ended by a signal),
infra_error (the sandbox failed twice: no fault of the program), no_answer, too_long.

Source: our own; the block as in LiveCodeBench, tolerances and special oracles as in EvalPlus v0.3.1
(steerctl/reward/sandbox/compare.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import PositiveFloat, PositiveInt

from steerctl.errors import DataError
from steerctl.reward import VerifierSpec
from steerctl.reward.sandbox.check import REFERENCE_SECONDS, End, Judgement, allow_time
from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.prepared import PreparedTests
from steerctl.reward.sandbox.probe import choose
from steerctl.reward.sandbox.tests import ProblemTests
from steerctl.reward.sandbox.tiers import Tier, interpreter
from steerctl.types import Problem, Status, Verdict

MAX_CODE = 100_000
"""Characters of a program."""
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*$", re.MULTILINE)
_PYTHON = ("", "python", "python3", "py", "python2")
_STATUS: Final[dict[End, Status]] = {
    "passed": "ok", "failed": "ok", "timeout": "timeout", "oom": "oom", "crash": "crash", "infra_error": "infra_error",
}  # fmt: skip


class Code(VerifierSpec):
    """Programs run against tests in a sandbox."""

    kind: Literal["code"] = "code"
    workers: PositiveInt = 64
    """Sandboxed processes, started when there is something to run; never more than there are cores."""
    cpu_seconds: PositiveFloat = 10.0
    """Processor time for all call tests of one program together, and for each stdin test; a problem may ask for more,
    and four times the reference solution's time is always given."""
    memory_mib: PositiveInt = 1024
    """Address space of one run; a problem may ask for more."""
    tier: Literal["auto", "bubblewrap", "landlock"] = "auto"
    """auto: the strongest confinement that holds on this machine; else this one or an error."""
    unsafe_local_exec: bool = False
    """Where no confinement holds, run programs with resource limits only; never as root. For scratch machines."""

    def open(self) -> CodeVerifier:
        """The verifier itself; whoever opens it closes it. Raises UserError where nothing can confine the programs."""
        return CodeVerifier(self, choose(None if self.tier == "auto" else self.tier, unsafe=self.unsafe_local_exec))


@dataclass(frozen=True, slots=True)
class ReferenceFailure:
    """A problem whose reference solution fails its own tests."""

    problem_id: str
    why: str


class CodeVerifier:
    """A Verifier with sandboxed workers; not for use from two threads at once.

    tier  what confines the programs, for the record
    """

    def __init__(self, spec: Code, tier: Tier, executable: str | None = None) -> None:
        self.tier = tier
        self.pool = Pool(tier, interpreter(executable), spec.workers)
        limits = Limits(cpu_seconds=spec.cpu_seconds, wall_seconds=4 * spec.cpu_seconds + 5, memory_mib=spec.memory_mib)
        self._prepared = PreparedTests(self.pool, limits)

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order; equal programs for a problem are run once."""
        verdicts: dict[int, Verdict] = {}
        asked: dict[tuple[str, str], list[int]] = {}
        for index, (problem, text) in enumerate(pairs):
            code, status, why = extract_code(text)
            if code is None:
                verdicts[index] = Verdict(0.0, None, why, status)
            else:
                asked.setdefault((problem.id, code), []).append(index)
        first = {key: pairs[indices[0]][0] for key, indices in asked.items()}
        tests = self._prepared.of({problem.id: problem for problem in first.values()}.values())
        judged: dict[tuple[str, str], Judgement] = {}
        for key, indices in asked.items():
            found = tests[key[0]]
            if isinstance(found, ProblemTests):
                judged[key] = Judgement(found, key[1])
            else:
                verdicts |= dict.fromkeys(indices, Verdict(0.0, _storable(key[1]), found, "error"))
        self.pool.run(list(judged.values()))
        for key, judgement in judged.items():
            verdicts |= dict.fromkeys(asked[key], _verdict(key[1], judgement))
        return [verdicts[index] for index in range(len(pairs))]

    def failures(self, problems: Iterable[Problem], *, again: bool = True) -> list[ReferenceFailure]:
        """Problems whose tests cannot be used, or whose reference solution does not pass them, with the reason.

        A reference that is slow here raises its problem's time limit to four times what it took, at most a minute.

        again  also run references whose own values are all that is expected
        """
        there = list(problems)
        tests = self._prepared.of(there)
        found = [ReferenceFailure(each.id, text) for each in there if isinstance(text := tests[each.id], str)]
        judged = {
            each.id: (usable, Judgement(_with_assertions(usable, each), usable.reference))
            for each in there
            if isinstance(usable := tests[each.id], ProblemTests)
            and usable.reference
            and (again or not usable.answered or each.info.get("assertions"))
        }
        self.pool.run([judgement for _, judgement in judged.values()])
        self.pool.renew()  # reference solutions went through these workers
        for name, (usable, judgement) in judged.items():
            if judgement.result is not None and judgement.result.end != "passed":
                found.append(ReferenceFailure(name, judgement.result.why))
            elif judgement.result is not None:
                allow_time(usable, judgement.result.cpu_seconds)
        return found

    def check_golds(self, problems: Iterable[Problem]) -> None:
        """Raise DataError, naming the first of them, if reference solutions do not pass the tests they come with."""
        failures = self.failures(problems, again=False)
        if failures:
            raise DataError(
                f"{len(failures)} reference solutions fail their own tests, first {failures[0].problem_id}: "
                f"{failures[0].why}; leave these problems out or mend them"
            )

    def close(self) -> None:
        """End the workers; may be called twice."""
        self.pool.close()


def extract_code(text: str) -> tuple[str | None, Status, str]:
    """The program of a response, or None with status and reason."""
    tail = text.rpartition("</think>")[2]
    blocks: list[str] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(tail):
        if opened is None:
            opened = fence
        elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]) and not fence[2]:
            if opened[2].lower() in _PYTHON:
                blocks.append(tail[opened.end() + 1 : fence.start()])
            opened = None
    if not blocks:
        return None, "no_answer", "the code block is not closed" if opened else "no code block"
    if len(blocks[-1]) > MAX_CODE:
        return None, "too_long", f"the code is longer than {MAX_CODE} characters"
    return blocks[-1], "ok", ""


def _with_assertions(tests: ProblemTests, problem: Problem) -> ProblemTests:
    """The tests as a reference must pass them: with time, and with assertions of its own if the data set has some."""
    stated = problem.info.get("assertions", "")
    limits = replace(tests.limits, cpu_seconds=REFERENCE_SECONDS, wall_seconds=4 * REFERENCE_SECONDS)
    return replace(tests, starter="", limits=limits, assertions=f"{tests.assertions}{stated}")


def _verdict(code: str, judgement: Judgement) -> Verdict:
    result = judgement.result
    if result is None:
        return Verdict(0.0, _storable(code), "not judged", "infra_error")
    why = f"{result.why} ({result.passed}/{result.total})" + (", weak" if result.weak else "")
    return Verdict(float(result.end == "passed"), _storable(code), _storable(why), _STATUS[result.end])


def _storable(text: str) -> str:
    """The text with lone surrogates replaced, so that it can be written as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
