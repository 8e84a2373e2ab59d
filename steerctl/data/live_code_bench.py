"""LiveCodeBench in its own format, from files the user has (`test.jsonl`, `test2.jsonl`, ... of code_generation_lite).

Each problem has public and private tests, on standard input or as calls. Private tests are base64 of zlib of a pickle
of one text; the pickle is not unpickled: its opcodes are read, and anything but one text is refused. They are decoded
when a response is judged, not before.

Source: LiveCodeBench, `lcb_runner/benchmarks/code_generation.py` (format, prompt) and
`lcb_runner/evaluation/testing_util.py` (what counts as right).
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._code import ask, rows, selected
from steerctl.errors import DataError
from steerctl.types import Problem

_NEEDED = ("question_id", "question_content", "starter_code", "public_test_cases", "private_test_cases", "metadata")
MAX_BYTES = 1 << 30
"""Of one problem's private tests, unpacked."""
CPU_SECONDS = 6.0
MEMORY_MIB = 2048
_STRING_OPCODES = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_SILENT_OPCODES = ("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP")
_SETUP = "\n".join(
    f"from {name} import *"
    for name in ("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics",
                 "itertools", "functools", "operator", "io", "typing")
) + (
    "\nimport sys, math, re, string, collections, heapq, bisect, random, itertools, functools, operator, json\n"
)  # fmt: skip


class LiveCodeBench(Dataset):
    """LiveCodeBench from its JSON lines files."""

    kind: Literal["live_code_bench"] = "live_code_bench"
    paths: tuple[str, ...] = Field(min_length=1)
    """test.jsonl, test2.jsonl, ...: release v5 is the first five, v6 the first six."""
    since: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Only contests of this day or later (YYYY-MM-DD); empty: all."""
    until: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Only contests before this day; empty: all."""
    limit: PositiveInt | None = None
    """The first so many problems; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the files. Raises DataError."""
        found = [row for path in self.paths for row in rows(path, _NEEDED)]
        inside = [row for row in found if self._inside(str(row.get("contest_date")))]
        problems = [_problem(row) for row in inside[: self.limit]]
        return selected(", ".join(self.paths), problems, {}, keep_broken=True)

    def missing_files(self) -> tuple[str, ...]:
        """Paths that lead nowhere."""
        return tuple(path for path in self.paths if not Path(path).expanduser().exists())

    def _inside(self, day: str) -> bool:
        return (not self.since or day >= self.since) and (not self.until or day < self.until)


class Cases(Sequence[Mapping[str, Any]]):
    """The tests of one problem, unpacked each time they are gone through."""

    def __init__(self, name: str, public: str, private: str) -> None:
        self._name, self._public, self._private = name, public, private

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._all())

    def _all(self) -> list[Mapping[str, Any]]:
        cases = [*json.loads(self._public), *private_cases(self._private, self._name)]
        return [_test(case) for case in cases]


def _problem(row: Mapping[str, Any]) -> Problem:
    name = f"live_code_bench/{row['question_id']}"
    starter, function = row["starter_code"], json.loads(row["metadata"] or "{}").get("func_name")
    info = {
        "tests": Cases(name, row["public_test_cases"], row["private_test_cases"]),
        "entry_point": f"Solution().{function}" if function else "",
        "setup": _SETUP,
        "oracle": "list_for_tuple" if function else "",
        "limits": {"cpu_seconds": CPU_SECONDS, "memory_mib": MEMORY_MIB},
        "date": str(row.get("contest_date", ""))[:10],
        "difficulty": row.get("difficulty", ""),
        "platform": row.get("platform", ""),
    }
    how = (
        "You will use the following starter code to write the solution to the problem and enclose your code within "
        f"delimiters.\n```python\n{starter}\n```\n"
        if starter
        else "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the "
        "sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it "
        "reads the inputs, runs the algorithm and writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```\n"
    )
    text = (
        "You will be given a question (problem specification) and will generate a correct Python program that matches "
        f"the specification and passes all tests.\n\n### Question:\n{row['question_content']}\n\n### Format: {how}\n"
        "### Answer: (use the provided format with backticks)\n"
    )
    return Problem(name, ask(text), "", "live_code_bench", info)


def _test(case: Mapping[str, str]) -> Mapping[str, Any]:
    """One public or private case: text for text, or one JSON value per line and argument."""
    if case["testtype"] == "stdin":
        return {"kind": "stdin", "input": case["input"], "output": case["output"]}
    arguments = [json.loads(line) for line in case["input"].split("\n")]
    return {"kind": "call", "args": arguments, "expected": json.loads(case["output"])}


def private_cases(packed: str, name: str) -> list[Mapping[str, str]]:
    """The private tests of a problem, whether packed or plain JSON. Raises DataError."""
    if packed.lstrip().startswith("["):
        plain: list[Mapping[str, str]] = json.loads(packed)
        return plain
    try:
        cases: list[Mapping[str, str]] = json.loads(_pickled_text(_inflated(base64.b64decode(packed, validate=True))))
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        raise DataError(f"{name}: private tests cannot be read: {str(error)[:200]}") from error
    return cases


def _inflated(packed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    found = inflating.decompress(packed, MAX_BYTES)
    if inflating.unconsumed_tail:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    return found


def _pickled_text(pickled: bytes) -> str:
    """The text of a pickle that holds one text and nothing else, found without unpickling. Raises ValueError."""
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _STRING_OPCODES and isinstance(argument, str):
            texts.append(argument)
        elif opcode.name not in _SILENT_OPCODES:
            raise ValueError(f"a pickle with {opcode.name}, where only one text is allowed")
    if len(texts) != 1:
        raise ValueError(f"a pickle of {len(texts)} texts, where one is allowed")
    return texts[0]
