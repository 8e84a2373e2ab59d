"""LeetCodeDataset: every assertion is compared outside the sandbox; references right; dates bound it."""
# ruff: noqa: E501 (one case a line)

import gzip
import json

import pytest

from steerctl.data.leet_code import BROKEN, LeetCode
from tests.data.judging import right, wrong

SETUP = (
    "from typing import *\ninf = float('inf')\nclass ListNode:\n    def __init__(self, val=0, next=None):\n"
    "        self.val, self.next = val, next\n\ndef list_node(values):\n    node = None\n    for each in reversed(values):\n"
    "        node = ListNode(each, node)\n    return node\n"
)
ROW = {
    "task_id": "reverse", "prompt": SETUP, "entry_point": "Solution().reverse", "query": "Reverse a list.",
    "completion": "class Solution:\n    def reverse(self, head):\n        found = None\n        while head:\n"
    "            found, head = ListNode(head.val, found), head.next\n        return found\n",
    "test": "def check(candidate):\n    assert is_same_list(candidate(head = list_node([1,2])), list_node([2,1]))\n",
    "estimated_date": "2024-08-04",
}  # fmt: skip
LEAST = {
    "task_id": "least", "prompt": SETUP, "entry_point": "Solution().least", "query": "The least.", "estimated_date": "2024-07-01",
    "completion": "class Solution:\n    def least(self, xs: List[float]) -> float:\n        return min(xs, default=inf)\n",
    "test": "def check(candidate):\n    assert candidate(xs = []) == inf\n    assert candidate(xs = [2.0, -1.5]) == -1.5\n",
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in (ROW, LEAST))
    return str(tmp_path / "rows.jsonl.gz")


def test_lists_and_infinity(path):
    problems = LeetCode(path=path).load().problems
    assert problems[0].info["tests"] == [
        {"kind": "call", "expression": "candidate(head=list_node([1, 2]))", "expected": [2, 1], "view": "linked"}
    ]
    assert [each["expected"] for each in problems[1].info["tests"]] == [float("inf"), -1.5]
    assert right(problems) == {"leet_code/reverse", "leet_code/least"}
    assert (
        right(problems, lambda each: "class Solution:\n  def reverse(self, head): return head\n  least = reverse")
        == set()
    )


def test_dates(path):
    assert [each.id for each in LeetCode(path=path, since="2024-08-01").load().problems] == ["leet_code/reverse"]
    assert [each.id for each in LeetCode(path=path, until="2024-08-01").load().problems] == ["leet_code/least"]


def test_every_assertion_of_the_benchmark_is_compared_outside(shared_code):
    loaded = LeetCode(path=str(shared_code / "LeetCodeDataset-v0.3.1-test.jsonl.gz"))
    problems = loaded.load().problems
    assert len(problems) == 228 - len(BROKEN)
    assert len(BROKEN) <= 2
    tests = [test for each in problems for test in each.info["tests"]]
    assert {test["kind"] for test in tests} == {"call"}
    assert len(tests) > 23_000
    pytest.importorskip("sortedcontainers")
    assert wrong(problems[:20]) == {}


def test_training_tasks_with_lists_and_trees(shared_code):
    problems = LeetCode(path=str(shared_code / "LeetCodeDataset-v0.2.0-train.jsonl.gz")).load().problems
    assert len(problems) == 1890
    seen = [each for each in problems if any("view" in test for test in each.info["tests"])]
    assert len(seen) > 30
    assert wrong(seen[:40]) == {}
    assert sum(test["kind"] == "assert" for each in problems for test in each.info["tests"]) <= 20
