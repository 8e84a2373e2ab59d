"""MBPP+ and MBPP: write a Python function from a sentence and an example.

EvalPlus's file has inputs as JSON, which for some tasks stand for tuples, sets or complex numbers; what is expected is
what its reference solution returns (in the sandbox, once). The original file has three assertions per task: those of
the form `f(args) == literal` are compared outside the sandbox, the rest are weak.

Source: evalplus/mbppplus_release v0.2.0 (Apache-2.0); google-research MBPP (CC BY 4.0). Which task's inputs stand for
what: EvalPlus v0.3.1, `evalplus/data/mbpp.py`; oracles: `evalplus/eval/_special_oracle.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._code import INSTRUCTION, ask, from_assertions, rows, selected
from steerctl.errors import DataError
from steerctl.types import Problem

ORACLES: Final[Mapping[int, str]] = {
    **dict.fromkeys((2, 7, 111, 140, 232, 249, 579, 769), "same_set"),
    **dict.fromkeys((737, 787, 794), "not_none"),
    295: "equal_or_zero",
    558: "digit_distance",
    581: "pyramid_area",
}
"""Tasks with more than one right answer."""
BROKEN: Final[Mapping[str, str]] = {
    "Mbpp/255": "one of its inputs asks for more combinations than memory holds",
}
"""Problems whose reference solution fails its own tests, with the reason."""


class Mbpp(Dataset):
    """MBPP+ (or MBPP) from its JSON lines file."""

    kind: Literal["mbpp"] = "mbpp"
    path: str = Field(min_length=1)
    """MbppPlus.jsonl.gz of EvalPlus, or mbpp.jsonl."""
    tests: Literal["base", "plus"] = "plus"
    """plus: all inputs; base: the first three or so. Only of an EvalPlus file."""
    split: Literal["all", "train", "validation", "test", "prompt"] = "all"
    """Of the original file, by task number: prompt 1-10, test 11-510, validation 511-600, train 601-974."""
    without: str = ""
    """A file of MBPP+ whose tasks are left out, so that training data and benchmark do not meet (108 of the train split
    are in MBPP+)."""
    keep_broken: bool = False
    """Keep problems whose reference solution is known to fail."""
    limit: PositiveInt | None = None
    """The first so many problems; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the file. Raises DataError."""
        avoided = {str(row["task_id"]).removeprefix("Mbpp/") for row in self._avoided()}
        problems = [
            _problem(row, plus=self.tests == "plus")
            for row in rows(self.path, ("task_id",))
            if str(row["task_id"]).removeprefix("Mbpp/") not in avoided and _in_split(row, self.split)
        ]
        return selected(self.path, problems[: self.limit], BROKEN, keep_broken=self.keep_broken)

    def missing_files(self) -> tuple[str, ...]:
        """Paths that lead nowhere."""
        return tuple(path for path in (self.path, self.without) if path and not Path(path).expanduser().exists())

    def _avoided(self) -> list[Mapping[str, Any]]:
        return list(rows(self.without, ("task_id",))) if self.without else []


def _in_split(row: Mapping[str, Any], split: str) -> bool:
    number = int(str(row["task_id"]).removeprefix("Mbpp/"))
    last = {"prompt": 10, "test": 510, "validation": 600, "train": 974}
    return split == "all" or split == next((name for name, end in last.items() if number <= end), "")


def _problem(row: Mapping[str, Any], *, plus: bool) -> Problem:
    if "base_input" in row:
        return _plus_problem(row, plus=plus)
    if "test_list" not in row:
        raise DataError(f"task {row['task_id']}: neither base_input nor test_list; is this MBPP or MBPP+?")
    return _original_problem(row)


def _plus_problem(row: Mapping[str, Any], *, plus: bool) -> Problem:
    number, entry = int(row["task_id"].removeprefix("Mbpp/")), row["entry_point"]
    given = [*row["base_input"], *(row["plus_input"] if plus else ())]
    info = {
        "tests": [{"kind": "call", "args": arguments(number, each)} for each in given],
        "entry_point": entry,
        "tolerance": float(row["atol"]),
        "oracle": ORACLES.get(number, ""),
        "assertions": f"import math, sys\n{row['assertion']}",
    }
    asked = row["prompt"].strip().strip('"').strip()
    return Problem(row["task_id"], ask(f"{INSTRUCTION}\n\n{asked}"), row["canonical_solution"], "mbpp", info)


def _original_problem(row: Mapping[str, Any]) -> Problem:
    setup = row.get("test_setup_code") or ""
    entry = _called(row["test_list"][0])
    converted = from_assertions(ast.parse("\n".join(row["test_list"])).body, entry)
    tests: list[dict[str, Any]] = list(converted.calls)
    if converted.rest:
        tests.append({"kind": "assert", "code": "\n".join([setup, *converted.rest])})
    example = row["test_list"][0]
    text = f"{INSTRUCTION}\n\n{row['text'].strip()}\nYour code should satisfy: {example}"
    info = {"tests": tests, "entry_point": entry, "setup": "", "tolerance": 0.0}
    return Problem(f"mbpp/{row['task_id']}", ask(text), row["code"], "mbpp", info)


def _called(assertion: str) -> str:
    """The function that the first assertion calls."""
    text = assertion.removeprefix("assert").strip().lstrip("(")
    name = text.partition("(")[0].strip()
    return text[len(name) + 1 :].partition("(")[0].strip() if name in ("set", "sorted", "not", "abs") else name


def arguments(number: int, given: Sequence[Any]) -> Sequence[Any]:
    """The inputs of a task as Python values: JSON has neither tuples nor sets nor complex numbers."""
    read = _READ_AS.get(number)
    return given if read is None else read(given)


def _tuples(given: Sequence[Any]) -> list[Any]:
    return [tuple(each) for each in given]


def _lists_of_tuples(given: Sequence[Any]) -> list[Any]:
    return [[tuple(each) for each in argument] for argument in given]


def _first_list_of_tuples(given: Sequence[Any]) -> list[Any]:
    return [[tuple(each) for each in given[0]], *given[1:]]


def _second_tuple(given: Sequence[Any]) -> list[Any]:
    return [given[0], tuple(given[1])]


def _first_tuple(given: Sequence[Any]) -> list[Any]:
    return [tuple(given[0]), *given[1:]]


def _tuples_of_tuples(given: Sequence[Any]) -> list[Any]:
    return [tuple(tuple(each) for each in argument) for argument in given]


def _tuples_with_tuples(given: Sequence[Any]) -> list[Any]:
    return [tuple(tuple(each) if isinstance(each, list) else each for each in given[0])]


def _sets(given: Sequence[Any]) -> list[Any]:
    """An empty list stands for an empty dictionary."""
    return [[set(each) if isinstance(each, list) and each else {} for each in given[0]]]


def _deep_tuples(given: Any) -> Any:  # noqa: ANN401 (any JSON value)
    return tuple(_deep_tuples(each) for each in given) if isinstance(given, list) else given


_SHAPES: Final[tuple[tuple[Callable[[Sequence[Any]], Sequence[Any]], tuple[int, ...]], ...]] = (
    (_tuples, (
        2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
    )),
    (_lists_of_tuples, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_first_list_of_tuples, (75, 413, 444, 753)),
    (_second_tuple, (106, 750)),
    (_first_tuple, (250, 307, 405, 446, 617, 720, 763, 808)),
    (_tuples_of_tuples, (259, 401, 445)),
    (_tuples_with_tuples, (278,)),
    (_sets, (115,)),
    (lambda given: [float(given[0]), complex(given[1])], (124,)),
    (lambda given: [complex(given[0])], (252,)),
    (lambda given: [{key: tuple(each) for key, each in given[0].items()}, *given[1:]], (722,)),
    (lambda given: [_deep_tuples(each) for each in given], (580, 615, 791)),
)  # fmt: skip
_READ_AS: Final[Mapping[int, Callable[[Sequence[Any]], Sequence[Any]]]] = {
    number: read for read, numbers in _SHAPES for number in numbers
}
