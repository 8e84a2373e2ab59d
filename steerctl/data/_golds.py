r"""Reference answers as they should have been: the forms that a right answer takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerctl.errors import DataError

CLEAN_FILE = "steer_bench_clean.jsonl"
_E_NOTATION = re.compile(r"([+-]?\d+(?:\.\d+)?)e([+-]?\d+)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_KEPT = ("subject", "level", "unique_id", "answer_type", "is_multiple_answer", "unit", "notes")


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repaired line says of a question: accepted answers, the first one first, and what else is known."""

    golds: tuple[str, ...]
    info: Mapping[str, Any] = field(default_factory=dict)


def read_repairs(folder: Path, benchmark: str) -> dict[tuple[str, str], Repair] | None:
    """Repaired answers of one benchmark by (question, published answer); None where the folder has no such file.

    Raises:
        DataError: the file cannot be read, or a line lacks `benchmark`, `problem`, `golds` or `steer_gold`.
    """
    file = folder / CLEAN_FILE
    if not file.is_file():
        return None
    found: dict[tuple[str, str], Repair] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        row = _line(file, number, line)
        if row["benchmark"] == benchmark:
            known = {key: row[key] for key in _KEPT if row.get(key) not in (None, [])}
            found[squeezed(row["problem"]), row["steer_gold"]] = Repair(tuple(row["golds"]), known)
    return found


def squeezed(text: str) -> str:
    """A text with its white space made uniform."""
    return " ".join(text.split())


def _line(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{file}:{number}: not a line of JSON: {error}") from error
    golds = row.get("golds") if isinstance(row, dict) else None
    texts = [row.get(key) for key in ("benchmark", "problem", "steer_gold")] if isinstance(row, dict) else [None]
    if not (isinstance(golds, list) and golds and all(isinstance(each, str) for each in [*golds, *texts])):
        raise DataError(f"{file}:{number}: expected benchmark, problem, steer_gold as text and golds as a list of it")
    return dict(row)


def repaired_by_rule(gold: str) -> tuple[str, ...]:
    r"""The published answer and other ways to write it, where no repaired file is at hand.

    4.5e33      also 4.5 \times 10^{33}, which e-notation means and a grader may read as Euler's number
    2,125       also 2125
    8$,$4       only 8,4: the dollars are left over from a list of formulas
    """
    plain = gold.replace("$", "") if gold.count("$") else gold
    found = [plain]
    if match := _E_NOTATION.fullmatch(plain.strip()):
        found.append(f"{match[1]} \\times 10^{{{int(match[2])}}}")
    if _THOUSANDS.fullmatch(plain.strip()):
        found.append(plain.strip().replace(",", ""))
    return tuple(found)


def is_decimal(gold: str) -> bool:
    """Whether an answer is a decimal number, in e-notation or not, and no integer."""
    text = gold.strip()
    return bool(_E_NOTATION.fullmatch(text)) or bool(re.fullmatch(r"[+-]?\d*\.\d+", text))
