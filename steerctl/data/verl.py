r"""Data sets in the schema that DAPO and verl share.

A row is `prompt` (chat turns, instruction included), `reward_model.ground_truth`, `data_source` and, if it has one,
`extra_info`. AIME and AMC files repeat each question 32 times; `deduplicate` makes them one problem each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from steerctl.data import Dataset, ProblemSet
from steerctl.data._defects import defect
from steerctl.data._paths import is_file_path
from steerctl.errors import DataError
from steerctl.types import Message, Problem


class Verl(Dataset):
    """Parquet, JSON lines, or a Hugging Face data set, in the schema of DAPO and verl."""

    kind: Literal["verl"] = "verl"
    path: str = Field(min_length=1)
    """A .parquet or .jsonl file, or the id of a Hugging Face data set (owner/name, needs the extra `hub`)."""
    split: str = "train"
    """Split of a Hugging Face data set; a file has only one."""
    deduplicate: bool = True
    """Rows with the same prompt (but for white space) and the same reference answer become one problem."""
    drop_conflicting_golds: bool = True
    """Leave out all rows of a prompt that comes with different reference answers."""
    drop_defects: bool = False
    """Leave out damaged rows (form feeds where macros were, control characters, integers beyond 2^53); a damaged row
    that is kept says so in its `info`."""
    limit: PositiveInt | None = None
    """The first so many problems, after all that is left out; None: all."""

    def load(self) -> ProblemSet:
        """All problems in the order of the file, and how many rows were left out why. Raises DataError."""
        from steerctl.data._rows import read_rows  # noqa: PLC0415 (a spec is validated without loading pyarrow)

        dropped: Counter[str] = Counter()
        rows = list(_usable(read_rows(self.path, self.split), dropped))
        found = len(rows) + dropped.total()
        if self.drop_conflicting_golds:
            rows = _without_conflicts(rows, dropped)
        if self.deduplicate:
            rows = _without_copies(rows, dropped)
        if self.drop_defects:
            rows = _without_defects(rows, dropped)
        if not rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
            raise DataError(
                f"{self.path}: none of {found} rows is usable ({reasons or 'it has none'}); a row is prompt (a list of"
                " {role, content}), reward_model.ground_truth and data_source, all texts"
            )
        return ProblemSet(_problems(rows, self.limit), dict(dropped))

    def missing_files(self) -> tuple[str, ...]:
        """The path, if it means a file that does not exist."""
        return (self.path,) if is_file_path(self.path) and not Path(self.path).expanduser().exists() else ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A well-formed row; `question` is its prompt with white space made uniform."""

    prompt: tuple[Message, ...]
    question: str
    gold: str
    source: str
    extra: Mapping[str, Any]
    defect: str | None


def _usable(rows: Iterable[Mapping[str, Any]], dropped: Counter[str]) -> Iterable[_Row]:
    for row in rows:
        parsed = _row(row)
        if parsed is None:
            dropped["wrong_schema"] += 1
        elif not parsed.gold:
            dropped["empty_gold"] += 1
        else:
            yield parsed


def _row(row: Mapping[str, Any]) -> _Row | None:
    """None if a value is missing, of another type, or not text that UTF-8 can hold; nothing is coerced."""
    turns, model, source, extra = (row.get(key) for key in ("prompt", "reward_model", "data_source", "extra_info"))
    gold = model.get("ground_truth") if isinstance(model, Mapping) else None
    if not (isinstance(turns, list) and turns and isinstance(gold, str) and isinstance(source, str)):
        return None
    prompt: list[Message] = []
    for turn in turns:
        if not (
            isinstance(turn, Mapping) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        ):
            return None
        prompt.append(Message(turn["role"], turn["content"]))
    text = "\n".join(message.content for message in prompt)
    if _has_lone_surrogate(text + gold + source):
        return None
    question = "\n".join(f"{message.role}: {' '.join(message.content.split())}" for message in prompt)
    known = {key: value for key, value in extra.items() if value is not None} if isinstance(extra, Mapping) else {}
    return _Row(tuple(prompt), question, gold.strip(), source, known, defect(text, gold))


def _without_conflicts(rows: list[_Row], dropped: Counter[str]) -> list[_Row]:
    golds: dict[str, set[str]] = {}
    for row in rows:
        golds.setdefault(row.question, set()).add(row.gold)
    kept = [row for row in rows if len(golds[row.question]) == 1]
    _count(dropped, "conflicting_gold", len(rows) - len(kept))
    return kept


def _without_copies(rows: list[_Row], dropped: Counter[str]) -> list[_Row]:
    """The first row of each (prompt, reference answer)."""
    first: dict[tuple[str, str], _Row] = {}
    for row in rows:
        first.setdefault((row.question, row.gold), row)
    _count(dropped, "duplicate", len(rows) - len(first))
    return list(first.values())


def _without_defects(rows: list[_Row], dropped: Counter[str]) -> list[_Row]:
    for row in rows:
        if row.defect is not None:
            dropped[row.defect] += 1
    return [row for row in rows if row.defect is None]


def _count(dropped: Counter[str], reason: str, rows: int) -> None:
    if rows:
        dropped[reason] += rows


def _problems(rows: list[_Row], limit: int | None) -> list[Problem]:
    """Ids are `source/index` where `extra_info.index` tells all rows apart, else `source/hash` of prompt and answer."""
    names = [f"{row.source}/{row.extra['index']}" for row in rows if "index" in row.extra]
    by_index = len(set(names)) == len(rows)
    copies: Counter[str] = Counter()
    problems: list[Problem] = []
    for row in islice(rows, limit):
        name = f"{row.source}/{row.extra['index']}" if by_index else f"{row.source}/{_digest(row)}"
        copies[name] += 1
        info = {key: value for key, value in row.extra.items() if key != "index"}
        if row.defect is not None:
            info["defect"] = row.defect
        unique = name if copies[name] == 1 else f"{name}#{copies[name]}"
        problems.append(Problem(unique, row.prompt, row.gold, row.source, info))
    return problems


def _digest(row: _Row) -> str:
    return hashlib.sha256(f"{row.question}\0{row.gold}".encode()).hexdigest()[:16]


def _has_lone_surrogate(text: str) -> bool:
    r"""JSON can hold half a character ("\ud800"); neither a tokenizer nor a file can."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
