"""HumanEval and HumanEval+: read, asked, judged; no forged verdict passes any of the 164."""

import gzip
import json

import pytest

from steerctl.data.human_eval import HumanEval
from steerctl.errors import DataError
from tests.data.judging import right, verdicts, wrong
from tests.reward.sandbox.test_check import FORGED

PROMPT = 'import math\n\n\ndef helper(x):\n    return x\n\n\ndef double(x: float) -> float:\n    """Twice x."""\n'
CHECK = "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1.5) == -3.0\n"
ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "double",
    "canonical_solution": "    return helper(2 * x)\n",
}
PLUS = {"test": CHECK, "base_input": [[2]], "plus_input": [[0.1], [3]], "atol": 0}


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return str(path)


def test_a_problem_of_each_file(tmp_path):
    (plus,) = HumanEval(path=written(tmp_path, ROW | PLUS)).load().problems
    assert plus.gold == PROMPT + ROW["canonical_solution"]
    assert [each["args"] for each in plus.info["tests"]] == [[2], [0.1], [3]]
    assert "def helper" in plus.info["setup"]
    assert "def double" not in plus.info["setup"]
    assert all(each in plus.prompt[0].content for each in ("```python", "Twice x."))
    (base,) = HumanEval(path=written(tmp_path, ROW | PLUS), tests="base").load().problems
    assert len(base.info["tests"]) == 1
    (original,) = HumanEval(path=written(tmp_path, ROW | {"test": CHECK})).load().problems
    assert [(each["args"], each["expected"]) for each in original.info["tests"]] == [([2], 4), ([-1.5], -3.0)]
    loop = CHECK + "    for x in range(3):\n        assert candidate(x) == x + x\n"
    (weak,) = HumanEval(path=written(tmp_path, ROW | {"test": loop})).load().problems
    assert [each["kind"] for each in weak.info["tests"]] == ["assert"]


def test_whole_functions_and_continuations_are_judged_alike(tmp_path):
    problems = HumanEval(path=written(tmp_path, ROW | PLUS)).load().problems
    assert right(problems, lambda each: "    return x + x")
    assert right(problems, lambda each: "def double(x):\n    return helper(x) * 2")
    assert wrong(problems, lambda each: "def double(x):\n    return x")


@pytest.mark.parametrize(("row", "why"), [({"task_id": "x"}, "prompt, entry_point"), ([1], "task_id")])
def test_another_file_is_named(tmp_path, row, why):
    with pytest.raises(DataError, match=f"rows.jsonl.gz:1: .*{why}"):
        HumanEval(path=written(tmp_path, row)).load()


def test_a_missing_file_is_named():
    assert HumanEval(path="no/such.jsonl").missing_files() == ("no/such.jsonl",)
    with pytest.raises(DataError, match="no such file"):
        HumanEval(path="no/such.jsonl").load()


@pytest.fixture(scope="module")
def base(shared_code):
    return HumanEval(path=str(shared_code / "HumanEvalPlus.jsonl.gz"), tests="base").load().problems


def test_every_reference_passes_and_the_original_one_too(shared_code, base):
    assert len(base) == 164
    assert wrong(base) == {}
    original = HumanEval(path=str(shared_code / "HumanEval.jsonl.gz")).load().problems
    golds = {each.id: each.gold for each in original}
    assert wrong(base, lambda each: golds[each.id]) == {}


def test_plus_inputs_of_some(shared_code):
    problems = HumanEval(path=str(shared_code / "HumanEvalPlus.jsonl.gz"), limit=36).load().problems
    assert sum(len(each.info["tests"]) for each in problems) > 20_000
    assert wrong([each for each in problems if each.id != "HumanEval/15"]) == {}


@pytest.mark.parametrize(
    "name",
    ["equal to everything", "early exit", "a verdict on every descriptor", "patched comparison", "patched harness"],
)
def test_a_forged_verdict_passes_none(base, name):
    code = FORGED[name]
    judged = verdicts(base, lambda each: code.replace("NAME", each.info["entry_point"]))
    lucky = {each.id for each, verdict in zip(base, judged, strict=True) if verdict.value}
    assert lucky == set()
    assert {verdict.status for verdict in judged} <= {"ok"}
