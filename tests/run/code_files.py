"""Three small files of programming problems of our own, in the forms of HumanEval, MBPP and LeetCodeDataset."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

HUMAN_EVAL = [
    {
        "task_id": f"Ours/{number}",
        "prompt": f'def {name}(x):\n    """{said}."""\n',
        "entry_point": name,
        "canonical_solution": f"    return {body}\n",
        "test": f"def check(candidate):\n    assert candidate(3) == {three}\n    assert candidate(-2) == {minus_two}\n",
    }
    for number, (name, said, body, three, minus_two) in enumerate(
        [("twice", "Two times x", "2 * x", 6, -4), ("next_one", "One more than x", "x + 1", 4, -1)]
    )
]
MBPP = [
    {
        "task_id": 11,
        "text": "Write a function that adds up a list.",
        "code": "def total(values):\n    return sum(values)",
        "test_setup_code": "",
        "test_list": ["assert total([1, 2]) == 3", "assert total([]) == 0"],
    }
]
LEET_CODE = [
    {
        "task_id": "larger-of-two",
        "query": "Complete `class Solution` with `def larger(self, a, b)`, the larger of two numbers.",
        "prompt": "from typing import *\n",
        "completion": "class Solution:\n    def larger(self, a, b):\n        return a if a > b else b\n",
        "entry_point": "Solution().larger",
        "test": "def check(candidate):\n    assert candidate(a=1, b=2) == 2\n    assert candidate(a=5, b=1) == 5",
    }
]
FILES = {
    "HumanEvalPlus.jsonl.gz": HUMAN_EVAL,
    "MbppPlus.jsonl.gz": MBPP,
    "LeetCodeDataset-v0.3.1-test.jsonl.gz": LEET_CODE,
}


def write_code_files(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in FILES.items():
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder
