"""LiveCodeBench's own format: private tests are read without unpickling, hostile ones refused; both are judged."""

import base64
import json
import os
import pickle
import zlib

import pytest

from steerctl.data.live_code_bench import LiveCodeBench, private_cases
from steerctl.errors import DataError
from tests.data.judging import right


def packed(value, protocol=pickle.DEFAULT_PROTOCOL):
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


def row(name, testtype, public, private, *, starter="", function=None, date="2024-09-01T00:00:00"):
    def cases(pairs):
        return json.dumps([{"input": given, "output": wanted, "testtype": testtype} for given, wanted in pairs])

    return {
        "question_id": name, "question_content": f"Question {name}.", "starter_code": starter, "contest_date": date,
        "difficulty": "easy", "platform": "own", "metadata": json.dumps({"func_name": function} if function else {}),
        "public_test_cases": cases(public), "private_test_cases": packed(cases(private)),
    }  # fmt: skip


@pytest.fixture
def path(tmp_path):
    rows = [
        row("sum", "stdin", [("1 2\n", "3\n")], [("5 6\n", "11\n"), ("-1 1", "0")]),
        row("pair", "functional", [("1\n[2]", "[1, 2]")], [("0\n[0, 0]", "[0, 0]")],
            starter="class Solution:\n    def pair(self, a, b):\n        ", function="pair", date="2025-03-01"),
    ]  # fmt: skip
    (tmp_path / "test5.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(tmp_path / "test5.jsonl")


def test_both_kinds_are_judged(path):
    problems = LiveCodeBench(paths=(path,)).load().problems
    assert [len(each.info["tests"]) for each in problems] == [3, 2]
    assert problems[1].info["tests"][0] == {"kind": "call", "args": [1, [2]], "expected": [1, 2]}
    assert "stdin" in problems[0].prompt[0].content
    assert "starter code" in problems[1].prompt[0].content
    programs = {
        "live_code_bench/sum": "print(sum(map(int, input().split())))",
        "live_code_bench/pair": "class Solution:\n    def pair(self, a, b):\n        return a, b[-1]",
    }
    assert right(problems, lambda each: programs[each.id]) == set(programs)
    assert right(problems, lambda each: "print(3)\nclass Solution:\n  def pair(self, a, b): return [1, 2]") == set()


def test_a_window_of_dates(path):
    assert [each.id for each in LiveCodeBench(paths=(path,), until="2025-01-01").load().problems] == [
        "live_code_bench/sum"
    ]
    assert [each.id for each in LiveCodeBench(paths=(path,), since="2025-01-01").load().problems] == [
        "live_code_bench/pair"
    ]


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_text_is_read_in_every_protocol(protocol):
    cases = [{"input": "é\n" * 500, "output": "2", "testtype": "stdin"}]
    assert private_cases(packed(json.dumps(cases, ensure_ascii=False), protocol), "x") == cases
    assert private_cases(json.dumps(cases), "x") == cases


@pytest.mark.parametrize("value", [Bomb(), [Bomb()], ["[]", "[]"], b"[]", 7, os.mkdir])
def test_any_other_pickle_is_refused_and_runs_nothing(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="x: private tests cannot be read"):
        private_cases(packed(value), "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "!!!!", base64.b64encode(b"no zlib").decode(), packed("not json")])
def test_damaged_private_tests_are_named(text):
    with pytest.raises(DataError, match="private tests cannot be read"):
        private_cases(text, "x")


def test_something_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("steerctl.data.live_code_bench.MAX_BYTES", 10_000)
    with pytest.raises(DataError, match="larger than 10000 bytes"):
        private_cases(packed("x" * 10**6), "x")
