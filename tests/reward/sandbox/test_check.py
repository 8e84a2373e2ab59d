"""Verdicts cannot be forged, and say what happened."""
# ruff: noqa: E501 (one program a line)

import pytest

from steerctl.reward.sandbox.check import Judgement, Reference
from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.tests import read
from steerctl.types import Problem

LIMITS = Limits(cpu_seconds=2, wall_seconds=8, memory_mib=512)


@pytest.fixture(scope="module")
def pool(strongest, python):
    opened = Pool(strongest, python, 1)
    yield opened
    opened.close()


def problem(tests, entry="f", gold="", **info):
    return Problem("p", (), gold, "s", {"tests": tests, "entry_point": entry, **info})


def judged(pool, code, tests, **info):
    judgement = Judgement(read(problem(tests, **info), LIMITS), code)
    pool.run([judgement])
    return judgement.result


ADD = [
    {"kind": "call", "args": [1, 2], "expected": 3},
    {"kind": "call", "args": [3], "kwargs": {"b": 4}, "expected": 7},
]


def test_all_calls_must_be_right(pool):
    assert judged(pool, "def f(a, b): return a + b", ADD).end == "passed"
    half = judged(pool, "def f(a, b): return 3", ADD)
    assert (half.end, half.passed, half.total, half.why) == ("failed", 1, 2, "call 2: returned 3")


def test_values_of_every_kind_come_back(pool):
    values = [(1, (2,)), {1, 2}, {(1, 2): [3]}, 2**5000, 1j, b"x", None, float("inf"), "\ud800é", [{}], frozenset({1})]
    tests = [{"kind": "call", "args": [each], "expected": each} for each in values]
    assert judged(pool, "def f(x): return x", tests).end == "passed"
    assert judged(pool, "def f(x): return [x]", tests).end == "failed"


def test_what_is_raised_is_told(pool):
    assert judged(pool, "def f(a, b): raise KeyError('x')", ADD).why == "KeyError: 'x'"
    assert judged(pool, "def f(a, b: return 1", ADD).why.startswith("SyntaxError")
    assert judged(pool, "g = 1", ADD).why.startswith("NameError")
    assert judged(pool, "x = 'a' * 10**10", ADD).end == "oom"
    assert judged(pool, "while True: pass", ADD).end == "timeout"
    assert judged(pool, "import ctypes; ctypes.string_at(0)", ADD).end == "crash"


def test_a_method_or_a_plain_function(pool):
    tests = [{"kind": "call", "args": [1], "expected": 2}]
    for code in ("class Solution:\n  def f(self, x): return x + 1", "def f(x): return x + 1"):
        assert judged(pool, code, tests, entry="Solution().f").end == "passed"


def test_a_response_may_continue_its_starter(pool):
    starter = "def f(a, b):\n    '''Add.'''\n"
    assert judged(pool, "    return a + b\n", ADD, starter=starter).end == "passed"
    assert judged(pool, "def f(a, b):\n    return a + b\n", ADD, starter=starter).end == "passed"


def test_programs_read_and_print(pool):
    tests = [
        {"kind": "stdin", "input": "1 2\n", "output": "3"},
        {"kind": "stdin", "input": "5 6\n", "output": "11.0\n"},
    ]
    for code in (
        "a, b = map(int, input().split())\nprint(a + b)",
        "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
        "import sys\nsys.stdout.write(str(sum(map(int, open(0).read().split()))) + '  \\n\\n')\nsys.exit(0)",
        "import os\nos.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())",
        "def main():\n  print(sum(map(int, input().split())))\nif __name__ == '__main__': main()",
    ):
        assert judged(pool, code, tests, entry="").end == "passed", code
    wrong = judged(pool, "print(3)", tests, entry="")
    assert (wrong.end, wrong.passed, wrong.why) == ("failed", 1, "program 2: other output")
    assert judged(pool, "print(3); raise SystemExit(1)", tests, entry="").end == "failed"
    assert judged(pool, "print(input(), input())", tests, entry="").why.startswith("EOFError")


def test_lists_and_trees_are_seen_through(pool):
    node = "class N:\n  def __init__(self, val, next=None): self.val, self.next = val, next\n"
    build = "def make(v):\n  n = None\n  for x in reversed(v): n = N(x, n)\n  return n\n"
    tests = [{"kind": "call", "expression": "candidate(make([1, 2]))", "view": "linked", "expected": [2, 1]}]
    reverse = "def f(n):\n  r = None\n  while n: r, n = N(n.val, r), n.next\n  return r"
    assert judged(pool, reverse, tests, setup=node + build).end == "passed"
    assert judged(pool, "def f(n): return n", tests, setup=node + build).end == "failed"


def test_what_only_the_reference_knows(pool):
    tests = read(
        problem([{"kind": "call", "args": [3]}, {"kind": "call", "args": [10**6]}], gold="def f(n): return 'x' * n"),
        LIMITS,
    )
    reference = Reference(tests)
    pool.run([reference])
    assert not reference.failure
    assert (tests.expected, tests.left_out) == ([b'"xxx"'], 1)
    broken = Reference(read(problem([{"kind": "call", "args": [3]}], gold="def f(n): return n / 0"), LIMITS))
    pool.run([broken])
    assert broken.failure.startswith("ZeroDivisionError")


ALWAYS = """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __repr__(self): return "3"
    def __bool__(self): return True
    def __iter__(self): return iter(())
    def __len__(self): return 0
"""
FORGED = {
    "equal to everything": f"{ALWAYS}\ndef NAME(*a, **k): return Equal()",
    "a number that equals everything": "class E(int):\n  def __eq__(s, o): return True\n  __hash__ = int.__hash__\n"
    "def NAME(*a, **k): return E(5)",
    "early exit": "import os\nos._exit(0)",
    "system exit": "raise SystemExit(0)",
    "exit at the call": "import os\ndef NAME(*a, **k): os._exit(0)",
    "a verdict on every descriptor": "import os\nfor d in range(20):\n  try: os.write(d, b'true\\n' * 99)\n  except OSError: pass\n"
    "def NAME(*a, **k): return True",
    "a printed verdict": "print('{\"ended\": \"exit\", \"code\": 0}'); print('passed')\ndef NAME(*a, **k): return 'passed'",
    "patched comparison": "import builtins, json, operator\nbuiltins.all = lambda *a: True\noperator.eq = lambda a, b: True\n"
    "json.loads = lambda *a: True\njson.dumps = lambda *a, **k: 'true'\ndef NAME(*a, **k): return True",
    "patched harness": "import sys\nfor m in list(sys.modules.values()):\n  for n in ('encode', '_tagged', 'matches', 'equal'):\n"
    "    if hasattr(m, n):\n      try: setattr(m, n, lambda *a, **k: 'true')\n      except Exception: pass\ndef NAME(*a, **k): return 1",
    "the harness's frames": "import sys, gc\ndef NAME(*a, **k):\n  found = []\n  frame = sys._getframe()\n"
    "  while frame:\n    found += [v for v in frame.f_locals.values() if isinstance(v, list)]\n    frame = frame.f_back\n"
    "  for each in found:\n    for call in each:\n      if isinstance(call, dict) and 'expected' in call: return call['expected']\n"
    "  for each in gc.get_objects():\n    if isinstance(each, dict) and 'expected' in each: return each['expected']",
    "a return value that is code": 'class C:\n  def __repr__(self): return \'__import__("os").system("true")\'\n'
    "def NAME(*a, **k): return C()",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_verdict_is_wrong(pool, name):
    tests = [{"kind": "call", "args": [1, 2], "expected": each} for each in (3, [1], "x", {"a": (1, 2)}, 2.5)]
    assert judged(pool, FORGED[name].replace("NAME", "f"), tests).end != "passed"


def test_assertions_are_weak_and_say_so(pool):
    tests = [{"kind": "assert", "code": "assert f(1) == 2\nassert abs(candidate(2) - 3) < 1e-9"}]
    right = judged(pool, "def f(x): return x + 1", tests)
    assert (right.end, right.weak) == ("passed", True)
    assert judged(pool, "def f(x): return x", tests).end == "failed"
    assert judged(pool, "import os\nos._exit(0)", tests).end == "failed"
    assert judged(pool, "print('0' * 32)\nimport os\nos.write(3, b'\"x\"\\n')\nos._exit(0)", tests).end == "failed"
