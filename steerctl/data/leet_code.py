"""LeetCodeDataset: complete a method of `class Solution`; v0.3.1 test (2024-08 to 2025-03), v0.2.0 train (weak tests).

Every assertion of both files is a call with an expected value, or a list or tree that is compared node by node.

Source: newfacade/LeetCodeDataset (MIT; the statements are LeetCode's). Departure: floats are compared with LeetCode's
own tolerance 1e-5 instead of exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._code import ask, body_of_check, from_assertions, rows, selected
from steerctl.types import Problem

_NEEDED = ("task_id", "prompt", "completion", "entry_point", "test", "query")
TOLERANCE = 1e-5
CPU_SECONDS = 12.0
BROKEN: Final[Mapping[str, str]] = {}
"""Problems whose reference solution fails its own tests, with the reason."""


class LeetCode(Dataset):
    """LeetCodeDataset from its JSON lines file."""

    kind: Literal["leet_code"] = "leet_code"
    path: str = Field(min_length=1)
    """LeetCodeDataset-v0.3.1-test.jsonl.gz or another file of that data set."""
    since: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Only problems of this day or later (YYYY-MM-DD), where the file dates them; empty: all."""
    until: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Only problems before this day, so that training data ends where a benchmark begins; empty: all."""
    keep_broken: bool = False
    """Keep problems whose reference solution is known to fail."""
    limit: PositiveInt | None = None
    """The first so many problems; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the file. Raises DataError."""
        dated = [row for row in rows(self.path, _NEEDED) if self._inside(row.get("estimated_date", ""))]
        problems = [_problem(row) for row in dated[: self.limit]]
        return selected(self.path, problems, BROKEN, keep_broken=self.keep_broken)

    def missing_files(self) -> tuple[str, ...]:
        """The path, if there is no such file."""
        return () if Path(self.path).expanduser().exists() else (self.path,)

    def _inside(self, day: str) -> bool:
        return (not self.since or day >= self.since) and (not self.until or not day or day < self.until)


def _problem(row: Mapping[str, Any]) -> Problem:
    converted = from_assertions(body_of_check(row["test"]), "candidate")
    tests: list[dict[str, Any]] = list(converted.calls)
    if converted.rest:
        tests.append({"kind": "assert", "code": "\n".join(converted.rest)})
    info = {
        "tests": tests,
        "entry_point": row["entry_point"],
        "setup": row["prompt"],
        "tolerance": TOLERANCE,
        "limits": {"cpu_seconds": CPU_SECONDS},
        **{name: row[key] for name, key in (("date", "estimated_date"), ("difficulty", "difficulty")) if key in row},
    }
    return Problem(f"leet_code/{row['task_id']}", ask(row["query"]), row["completion"], "leet_code", info)
