"""steerctl's own format for code problems."""

import json

import pytest

from steerctl.data.code import Code
from steerctl.errors import DataError
from tests.data.judging import right

ROWS = [
    {"id": "a", "prompt": "Square.", "entry_point": "f", "reference": "def f(x): return x * x",
     "tests": [{"kind": "call", "args": [2]}, {"kind": "call", "args": [], "kwargs": {"x": 3}, "expected": 9}]},
    {"id": "b", "prompt": "Echo.", "tests": [{"kind": "stdin", "input": "x", "output": "x"}]},
    {"id": "c", "prompt": "g.", "tests": [{"kind": "assert", "code": "assert g() == 1"}], "limits": {"cpu_seconds": 2}},
]  # fmt: skip


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_every_kind_of_test(tmp_path):
    problems = Code(path=written(tmp_path, *ROWS), source="own").load().problems
    assert [each.id for each in problems] == ["own/a", "own/b", "own/c"]
    programs = ["def f(x): return x ** 2", "print(input())", "def g(): return 1"]
    by_id = dict(zip((each.id for each in problems), programs, strict=True))
    assert right(problems, lambda each: by_id[each.id]) == set(by_id)
    assert right(problems, lambda each: "f = lambda x: x\nprint('y')\ng = f") == set()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tests": []}, "a has no tests"), ({"tests": [{"kind": "x"}]}, "of kind 'x', not call, stdin, assert"),
        ({"tests": [{"kind": "stdin", "input": "x"}]}, "needs output"), ({"tests": [3]}, "of kind None"),
        ({"tests": "call"}, "has no tests"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, why):
    with pytest.raises(DataError, match=why):
        Code(path=written(tmp_path, ROWS[0] | change)).load()


def test_ids_must_differ(tmp_path):
    with pytest.raises(DataError, match="same id"):
        Code(path=written(tmp_path, ROWS[0], ROWS[0])).load()
