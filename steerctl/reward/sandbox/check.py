"""One response against the tests of its problem: which jobs to run one after the other, and what their replies mean."""

from __future__ import annotations

import ast
import json
import secrets
import warnings
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from steerctl.reward.sandbox.compare import matches, same_output
from steerctl.reward.sandbox.inside.codec import TOO_LONG
from steerctl.reward.sandbox.job import Job, Reply
from steerctl.reward.sandbox.tests import ProblemTests

End = Literal["passed", "failed", "timeout", "oom", "crash", "infra_error"]
REFERENCE_BYTES = 256 << 20
LONGEST = 1 << 18
"""Characters of one expected value: a call that returns more is left out (a handful of EvalPlus's inputs)."""
REFERENCE_SECONDS = 60.0
SLOWER = 4.0
"""Than the reference: what a program may always take, as in EvalPlus."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one response; `weak`: some of it was judged inside the untrusted process."""

    end: End
    why: str
    passed: int
    total: int
    weak: bool = False
    cpu_seconds: float = 0.0


class Check(Protocol):
    """Work for the pool: jobs until there is none left."""

    def next(self) -> Job | None:
        """The next job; None once all is decided."""

    def take(self, reply: Reply) -> None:
        """The reply to it."""


@dataclass(slots=True)
class Judgement:
    """All tests of one response: the calls in one fork, each program and the assertions in one of their own.

    Ends at the first test that fails.
    """

    tests: ProblemTests
    code: str
    result: Result | None = None
    _done: int = 0
    _cpu: float = 0.0
    _nonce: str = ""
    _stages: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.code = _completed(self.code, self.tests)
        calls = [("call", 0)] if self.tests.expected else []
        programs = [("stdin", index) for index in range(len(self.tests.programs))]
        self._stages = [*calls, *programs, *([("assert", 0)] if self.tests.assertions else [])]

    @property
    def total(self) -> int:
        """Calls, programs, and the assertions as one."""
        return len(self.tests.expected) + len(self.tests.programs) + bool(self.tests.assertions)

    def next(self) -> Job | None:
        """The next job; None once all is decided."""
        if self.result is not None or not self._stages:
            return None
        stage, index = self._stages[0]
        tests, limits = self.tests, replace(self.tests.limits, output_bytes=self.tests.output_bytes)
        if stage == "stdin":
            return Job("stdin", self.code, tests.setup, stdin=tests.programs[index][0], limits=limits)
        if stage == "assert":
            self._nonce = secrets.token_hex(16)
            return Job(
                "assert", self.code, tests.setup, tests.entry, tests.assertions.encode(), self._nonce, limits=limits
            )
        return Job("call", self.code, tests.setup, tests.entry, tests.sent, limits=limits)

    def take(self, reply: Reply) -> None:
        """Judge what came back."""
        stage, index = self._stages.pop(0)
        self._cpu += reply.cpu_seconds
        lines = reply.report.split(b"\n")[:-1]
        raised = _exception(lines)
        if stage == "stdin":
            right = reply.exit_code == 0 and not raised and same_output(reply.output, self.tests.programs[index][1])
            self._done += right
            self._decide(reply, raised, right=right, what=f"program {index + 1}: other output")
        elif stage == "assert":
            right = reply.exit_code == 0 and lines == [json.dumps(self._nonce).encode()]
            self._done += right
            self._decide(reply, raised, right=right, what="an assertion failed")
        else:
            self._take_calls(reply, lines, raised)

    def _take_calls(self, reply: Reply, lines: list[bytes], raised: str) -> None:
        tests = self.tests
        for line, expected, arguments in zip(lines, tests.expected, tests.arguments, strict=False):
            if expected is None or not matches(line, expected, arguments, tests.oracle, tests.tolerance):
                break
            self._done += 1
        right = self._done == len(tests.expected) == len(lines)
        reached = self._done < len(lines) - bool(raised)
        what = f"call {self._done + 1}: returned {_start(lines[self._done])}" if reached else "ended early"
        self._decide(reply, "" if reached else raised, right=right, what=what)

    def _decide(self, reply: Reply, raised: str, *, right: bool, what: str) -> None:
        """Final if it failed, or if it was the last."""
        if right and self._stages:
            return
        end: End = "passed" if right else "failed"
        if not right and raised.startswith("MemoryError"):
            end = "oom"
        elif not right and reply.ended in ("timeout", "oom", "crash", "infra_error"):
            end, what = reply.ended, reply.why
        elif not right and reply.ended == "flood":
            what = reply.why
        why = "all tests passed" if right else raised or what
        self.result = Result(end, why, self._done, self.total, bool(self.tests.assertions), self._cpu)


@dataclass(slots=True)
class Reference:
    """The reference solution run once: fills in the expected values that the data set leaves to it."""

    tests: ProblemTests
    failure: str = ""
    _asked: bool = False

    def next(self) -> Job | None:
        """The one job there is."""
        if self._asked:
            return None
        tests = self.tests
        limits = replace(
            tests.limits,
            output_bytes=REFERENCE_BYTES,
            cpu_seconds=REFERENCE_SECONDS,
            wall_seconds=4 * REFERENCE_SECONDS,
        )
        return Job("call", tests.reference, tests.setup, tests.entry, tests.sent, longest=LONGEST, limits=limits)

    def take(self, reply: Reply) -> None:
        """Keep what it returned."""
        self._asked = True
        lines = reply.report.split(b"\n")[:-1]
        raised = _exception(lines)
        if raised or len(lines) != len(self.tests.expected):
            self.failure = raised or reply.why
            return
        self.tests.answered = not any(self.tests.expected)
        _fill(self.tests, lines)
        allow_time(self.tests, reply.cpu_seconds)


def allow_time(tests: ProblemTests, taken: float) -> None:
    """Let programs take four times as long as the reference did, if that is more than they may take anyway."""
    allowed = min(REFERENCE_SECONDS, SLOWER * taken)
    if allowed > tests.limits.cpu_seconds:
        tests.limits = replace(tests.limits, cpu_seconds=allowed, wall_seconds=4 * allowed + 5)


def _fill(tests: ProblemTests, lines: list[bytes]) -> None:
    """Take over expected values; a call whose value is too long to be sent is left out."""
    answered = [given or line for given, line in zip(tests.expected, lines, strict=True)]
    kept = [index for index, line in enumerate(answered) if line != TOO_LONG.encode()]
    tests.left_out = len(answered) - len(kept)
    tests.expected = [answered[index] for index in kept]
    tests.arguments = [tests.arguments[index] for index in kept]
    tests.calls = [tests.calls[index] for index in kept]


def _exception(lines: list[bytes]) -> str:
    """Name and text of the exception that the last line reports, or ""."""
    if not lines or not lines[-1].startswith(b'{"e"'):
        return ""
    try:
        name, text = json.loads(lines[-1])["e"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "unreadable report"
    return f"{name}: {text}"[:300]


def _start(line: bytes) -> str:
    """The start of a report, in printable characters."""
    return line[:80].decode("latin-1").encode("unicode_escape").decode("ascii") + ("..." if len(line) > 80 else "")


def _completed(code: str, tests: ProblemTests) -> str:
    """The starter in front of code that only continues it."""
    name = tests.entry.removeprefix("Solution().")
    if not tests.starter or not name:
        return code
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return tests.starter + code
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = {
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }  # fmt: skip
    return code if {name, "Solution"} & (defined | assigned) else tests.starter + code
