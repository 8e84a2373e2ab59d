"""Code problems in steerctl's own format: any data set, converted once.

A line is {"id", "prompt", "tests": [...], "entry_point"?, "setup"?, "starter"?, "reference"?, "tolerance"?,
"limits"?}; a test is
    {"kind": "call", "args": [...], "kwargs"?: {...}, "expected"?: value}   expected missing: the reference says
    {"kind": "stdin", "input": text, "output": text}
    {"kind": "assert", "code": text}                                        weak: judged in the untrusted process
`limits` is {"cpu_seconds"?, "memory_mib"?}. The prompt is one user turn, instruction included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._code import ask, rows, selected
from steerctl.errors import DataError
from steerctl.types import Problem

_INFO = ("tests", "entry_point", "setup", "starter", "tolerance", "limits", "oracle")
_REQUIRED: Mapping[str, tuple[str, ...]] = {"call": (), "stdin": ("input", "output"), "assert": ("code",)}


class Code(Dataset):
    """Code problems from JSON lines in steerctl's own format."""

    kind: Literal["code"] = "code"
    path: str = Field(min_length=1)
    """A .jsonl or .jsonl.gz file."""
    source: str = "code"
    """What the problems are called in records."""
    limit: PositiveInt | None = None
    """The first so many problems; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the file. Raises DataError."""
        problems = [self._problem(row) for row in rows(self.path, ("id", "prompt", "tests"))]
        names = [each.id for each in problems]
        if len(set(names)) != len(names):
            raise DataError(f"{self.path}: two problems have the same id")
        return selected(self.path, problems[: self.limit], {}, keep_broken=True)

    def missing_files(self) -> tuple[str, ...]:
        """The path, if there is no such file."""
        return () if Path(self.path).expanduser().exists() else (self.path,)

    def _problem(self, row: Mapping[str, Any]) -> Problem:
        if not (isinstance(row["tests"], list) and row["tests"]):
            raise DataError(f"{self.path}: problem {row['id']} has no tests")
        for test in row["tests"]:
            kind = test.get("kind") if isinstance(test, dict) else None
            missing = [name for name in _REQUIRED.get(str(kind), ()) if not isinstance(test.get(name), str)]
            if kind not in _REQUIRED or missing:
                what = f"needs {', '.join(missing)}" if missing else f"is of kind {kind!r}, not {', '.join(_REQUIRED)}"
                raise DataError(f"{self.path}: problem {row['id']}: a test {what}")
        info = {name: row[name] for name in _INFO if name in row}
        return Problem(f"{self.source}/{row['id']}", ask(row["prompt"]), row.get("reference", ""), self.source, info)
