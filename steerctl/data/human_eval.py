"""HumanEval+ and HumanEval: complete a Python function from its signature and docstring.

EvalPlus's file has inputs; what is expected is what its reference solution returns (in the sandbox, once). OpenAI's
file has assertions: those of the form `f(args) == literal` are compared outside the sandbox, a problem with others is
weak.

Source: openai/human-eval (MIT); evalplus/humanevalplus_release v0.1.10 (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._code import INSTRUCTION, ask, body_of_check, from_assertions, head, rows, selected
from steerctl.types import Problem

_NEEDED = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
ORACLES: Final[Mapping[str, str]] = {"HumanEval/32": "root"}
"""Tasks with more than one right answer (EvalPlus, `evalplus/eval/_special_oracle.py`)."""


class HumanEval(Dataset):
    """HumanEval+ (or HumanEval) from its JSON lines file."""

    kind: Literal["human_eval"] = "human_eval"
    path: str = Field(min_length=1)
    """HumanEvalPlus.jsonl.gz of EvalPlus, or HumanEval.jsonl.gz of OpenAI."""
    tests: Literal["base", "plus"] = "plus"
    """plus: all inputs; base: those of HumanEval. Only of an EvalPlus file."""
    limit: PositiveInt | None = None
    """The first so many problems; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the file. Raises DataError."""
        problems = [_problem(row, plus=self.tests == "plus") for row in rows(self.path, _NEEDED)]
        return selected(self.path, problems[: self.limit], {}, keep_broken=True)

    def missing_files(self) -> tuple[str, ...]:
        """The path, if there is no such file."""
        return () if Path(self.path).expanduser().exists() else (self.path,)


def _problem(row: Mapping[str, Any], *, plus: bool) -> Problem:
    prompt, entry = row["prompt"], row["entry_point"]
    if "base_input" in row:
        given = [*row["base_input"], *(row["plus_input"] if plus else ())]
        tests: list[dict[str, Any]] = [{"kind": "call", "args": each} for each in given]
    else:
        tests = _from_check(row["test"])
    info: dict[str, Any] = {
        "tests": tests,
        "entry_point": entry,
        "setup": head(prompt, entry),
        "starter": prompt,
        "tolerance": float(row.get("atol", 0)),
    }
    if "base_input" in row:
        info["oracle"] = ORACLES.get(row["task_id"], "")
        info["assertions"] = f"{row['test']}\ncheck({entry})"
    text = f"Complete the following Python function. {INSTRUCTION}\n\n```python\n{prompt.strip()}\n```"
    return Problem(row["task_id"], ask(text), prompt + row["canonical_solution"], "human_eval", info)


def _from_check(source: str) -> list[dict[str, Any]]:
    """The assertions as calls if all are of that form, else the check as it is."""
    body = source[source.index("def check(") :]
    try:
        converted = from_assertions(body_of_check(body), "candidate")
    except (ValueError, SyntaxError):
        return [{"kind": "assert", "code": f"{source}\ncheck(candidate)"}]
    telling = [each for each in converted.rest if each.replace("assert True", "").strip("()'\", ") and "assert" in each]
    if converted.calls and not [each for each in telling if not each.startswith("assert True")]:
        return converted.calls
    return [{"kind": "assert", "code": f"{source}\ncheck(candidate)"}]
