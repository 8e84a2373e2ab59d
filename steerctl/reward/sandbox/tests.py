"""What a problem's tests are, and in what form they go into the sandbox.

`Problem.info` of a code problem:
    tests        a list of {"kind": "call", "args": [...], "kwargs": {...}, "expected": value} or, instead of the
                 arguments, {"expression": "candidate(head=list_node([1]))", "view": "linked" | "tree"};
                 {"kind": "stdin", "input": text, "output": text}; {"kind": "assert", "code": text}, which is weak
    entry_point  what `candidate` is, e.g. "two_sum" or "Solution().twoSum"
    setup        trusted code that runs first (imports, node classes)
    starter      code that a response may continue: put before a response that does not define the entry point
    oracle, tolerance, limits {"cpu_seconds", "memory_mib"}, all optional
`Problem.gold` is a reference solution or "". A call without "expected" is answered by the reference solution, in the
sandbox, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steerctl.reward.sandbox.inside.codec import encode
from steerctl.reward.sandbox.job import Limits
from steerctl.types import Problem

_KINDS = ("call", "stdin", "assert")


class WrongTests(Exception):
    """A problem's tests cannot be used; the text says why."""


@dataclass(slots=True)
class ProblemTests:
    """The tests of one problem.

    arguments  of each call, for oracles
    expected   encoded, one per call; None where only the reference can say
    calls      each encoded
    answered   all that is expected is what the reference returned
    left_out   calls whose expected value is too long to be sent for every response
    """

    entry: str
    setup: str
    starter: str
    reference: str
    oracle: str
    tolerance: float | None
    limits: Limits
    calls: list[bytes] = field(default_factory=list)
    arguments: list[Sequence[Any]] = field(default_factory=list)
    expected: list[bytes | None] = field(default_factory=list)
    programs: list[tuple[bytes, str]] = field(default_factory=list)
    assertions: str = ""
    left_out: int = 0
    answered: bool = False

    @property
    def sent(self) -> bytes:
        """All calls as one JSON text."""
        return b"[" + b",".join(self.calls) + b"]"

    @property
    def complete(self) -> bool:
        """Whether every expected value is known."""
        return None not in self.expected

    @property
    def output_bytes(self) -> int:
        """How much a right answer could write, four times over."""
        printed = max((len(output) for _, output in self.programs), default=0)
        return (1 << 16) + 4 * (sum(len(each or b"") for each in self.expected) + printed)


def read(problem: Problem, limits: Limits) -> ProblemTests:
    """The tests of a problem. Raises WrongTests, naming what is missing."""
    info = problem.info
    given = info.get("tests")
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise WrongTests("the problem has no tests")
    own = info.get("limits") or {}
    bounded = Limits(
        cpu_seconds=max(limits.cpu_seconds, own.get("cpu_seconds", 0)),
        wall_seconds=max(limits.wall_seconds, 4.0 * own.get("cpu_seconds", 0)),
        memory_mib=max(limits.memory_mib, own.get("memory_mib", 0)),
    )
    tests = ProblemTests(
        entry=str(info.get("entry_point", "")), setup=str(info.get("setup", "")), starter=str(info.get("starter", "")),
        reference=problem.gold, oracle=str(info.get("oracle", "")), tolerance=info.get("tolerance"), limits=bounded,
    )  # fmt: skip
    encoded = [_add(tests, each) for each in given]
    tests.calls = [each for each in encoded if each is not None]
    if tests.arguments and not tests.entry:
        raise WrongTests("the problem has call tests and no entry_point")
    if not (tests.reference or tests.complete):
        raise WrongTests("a call has no expected value and there is no reference solution")
    return tests


def _add(tests: ProblemTests, test: Mapping[str, Any]) -> bytes | None:
    """Put one test where it belongs; the encoded call if it is one."""
    kind = test.get("kind")
    if kind == "stdin":
        tests.programs.append((str(test["input"]).encode(), str(test["output"])))
        return None
    if kind == "assert":
        tests.assertions += str(test["code"]).rstrip() + "\n"
        return None
    if kind != "call":
        raise WrongTests(f"a test is of kind {kind!r}, not {', '.join(_KINDS)}")
    arguments = test.get("args", ())
    tests.arguments.append(arguments)
    tests.expected.append(encode(test["expected"]).encode() if "expected" in test else None)
    view = {"v": test["view"]} if "view" in test else {}
    if "expression" in test:
        return json.dumps({"x": test["expression"], **view}).encode()
    words = "".join(f"{json.dumps(name)}:{encode(each)}," for name, each in test.get("kwargs", {}).items())
    sent = ",".join(encode(each) for each in arguments)
    tail = "".join(f",{json.dumps(name)}:{json.dumps(each)}" for name, each in view.items())
    return f'{{"a":[{sent}],"k":{{{words[:-1]}}}{tail}}}'.encode()
