"""Tests of a problem are read, or refused with a reason; those of a reference are filled in once."""

import pytest

from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.prepared import PreparedTests
from steerctl.reward.sandbox.tests import ProblemTests, WrongTests, read
from steerctl.types import Problem

CALL = {"kind": "call", "args": [1], "expected": 2}


def problem(tests, name="p", gold="", **info):
    return Problem(name, (), gold, "s", {"tests": tests, "entry_point": "f", **info})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "no tests"), ([], "no tests"), ("call", "no tests"), ([{"kind": "magic"}], "'magic'"),
        ([{"kind": "call", "args": [1]}], "no reference solution"),
    ],
)  # fmt: skip
def test_unusable_tests_are_named(given, why):
    with pytest.raises(WrongTests, match=why):
        read(problem(given), Limits())


def test_calls_need_an_entry_point():
    with pytest.raises(WrongTests, match="entry_point"):
        read(Problem("p", (), "", "s", {"tests": [CALL]}), Limits())


def test_a_problem_may_raise_limits_but_not_lower_them():
    assert read(problem([CALL], limits={"cpu_seconds": 60, "memory_mib": 4096}), Limits()).limits == Limits(
        60, 240.0, 4096
    )
    assert read(problem([CALL], limits={"cpu_seconds": 1, "memory_mib": 1}), Limits()).limits == Limits()


def test_room_for_output_grows_with_what_is_expected():
    small = read(problem([CALL]), Limits()).output_bytes
    large = read(problem([{"kind": "call", "args": [1], "expected": "x" * 10**6}]), Limits()).output_bytes
    assert small < 1 << 17 < 4 * 10**6 < large


def test_references_are_asked_once_and_their_workers_replaced(strongest, python):
    pool = Pool(strongest, python, 1)
    prepared = PreparedTests(pool, Limits(cpu_seconds=2, wall_seconds=10))
    asked = [
        problem([{"kind": "call", "args": [3]}], "a", "def f(n): return [n]"),
        problem([{"kind": "call", "args": [3]}], "b", "def f(n): return n / 0"),
        problem([{"kind": "stdin"}], "c"),
        problem([CALL], "d"),
    ]
    found = prepared.of(asked)
    assert pool.pids() == []
    assert found["a"].expected == [b"[3]"]
    assert found["b"].startswith("the reference solution fails: ZeroDivisionError")
    assert found["c"].startswith("unusable tests: 'input'")
    assert isinstance(found["d"], ProblemTests)
    assert prepared.of(asked)["a"] is found["a"]
    assert pool.pids() == []
    other = problem([CALL], "a")
    assert prepared.of([other])["a"] is not found["a"]
    pool.close()
