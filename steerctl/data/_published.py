r"""Questions of the mathematics benchmarks as published: files in a folder, or data sets on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steerctl.data._rows import load_hub
from steerctl.data.verl import Verl
from steerctl.errors import DataError

FILES: Mapping[str, str] = MappingProxyType({"minerva": "minerva_math", "gsm8k": "gsm8k_test"})
"""Names of files that differ from the benchmark's."""
QUESTIONS: Mapping[str, int] = MappingProxyType(
    {"aime24": 30, "aime25": 30, "amc23": 40, "math500": 500, "minerva": 272, "olympiadbench": 675, "gsm8k": 1319}
)
"""How many questions each benchmark has in STEER's files; copies on the hub may differ by one or two."""
_BOX = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)
_OPENING, _CLOSING = "Solve the following math problem step by step.", "Remember to put your answer"


@dataclass(frozen=True, slots=True)
class Question:
    """A question without instruction, its published answer, and how many rows the file had of it."""

    text: str
    gold: str
    copies: int


@dataclass(frozen=True, slots=True)
class _OnHub:
    name: str
    question: str
    gold: str
    configuration: str | None = None
    split: str = "test"


_HUB: Mapping[str, _OnHub] = MappingProxyType(
    {
        "aime24": _OnHub("math-ai/aime24", "problem", "solution"),
        "aime25": _OnHub("math-ai/aime25", "problem", "answer"),
        "amc23": _OnHub("math-ai/amc23", "question", "answer"),
        "math500": _OnHub("HuggingFaceH4/MATH-500", "problem", "answer"),
        "minerva": _OnHub("math-ai/minervamath", "question", "answer"),
        "olympiadbench": _OnHub("Hothan/OlympiadBench", "question", "final_answer", "OE_TO_maths_en_COMP", "train"),
        "gsm8k": _OnHub("openai/gsm8k", "question", "answer", "main"),
    }
)


def file_of(folder: Path, benchmark: str) -> Path | None:
    """The benchmark's file in a folder, .parquet before .jsonl; None where there is none."""
    stem = FILES.get(benchmark, benchmark)
    return next((path for path in (folder / f"{stem}.parquet", folder / f"{stem}.jsonl") if path.is_file()), None)


def from_folder(folder: Path, benchmark: str) -> list[Question]:
    """The questions of a file in the schema of DAPO and verl, row copies folded. Raises DataError."""
    file = file_of(folder, benchmark)
    if file is None:
        stem = FILES.get(benchmark, benchmark)
        raise DataError(
            f"{folder}: has no {stem}.parquet and no {stem}.jsonl; name the folder with the benchmark files"
        )
    rows = Verl(path=str(file), deduplicate=False).load()
    if rows.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(rows.dropped.items()))
        raise DataError(f"{file}: a benchmark must be whole, but rows cannot be used ({reasons})")
    return folded((bare(each.prompt[-1].content), each.gold) for each in rows.problems)


def from_hub(benchmark: str) -> list[Question]:
    """The questions of the data set on the Hugging Face hub. Raises DataError."""
    place = _HUB[benchmark]
    rows = load_hub(place.name, place.split, place.configuration)
    return folded(question_of(benchmark, row) for row in rows)


def question_of(benchmark: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """Question and answer of one row of the hub's data set. Raises DataError."""
    place = _HUB[benchmark]
    question, gold = row.get(place.question), row.get(place.gold)
    if isinstance(gold, list):
        gold = gold[0] if gold else None
    if not isinstance(question, str) or gold is None:
        raise DataError(f"{place.name}: a row lacks {place.question} or {place.gold}; its columns have changed")
    return question, _answer(benchmark, str(gold).strip())


def _answer(benchmark: str, gold: str) -> str:
    if benchmark == "gsm8k":
        return gold.rpartition("####")[2].strip()
    if box := _BOX.search(gold):
        gold = box[1]
    if benchmark == "olympiadbench":
        gold = gold.strip("$")
    return gold.removesuffix(".0") if benchmark == "amc23" else gold


def folded(rows: Iterator[tuple[str, str]]) -> list[Question]:
    """Each question once, in the order of first appearance, with the number of its rows."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return [Question(text, gold, copies) for (text, gold), copies in counts.items()]


def bare(prompt: str) -> str:
    """The question of a prompt in DAPO's wording, whole or damaged; any other prompt is a bare question already."""
    parts = prompt.split("\n\n")
    if len(parts) > 2 and parts[0].startswith(_OPENING) and parts[-1].startswith(_CLOSING):
        parts = parts[1:-1]
    return "\n\n".join(parts)
