"""Questions of an evaluation that are in a training file: flagged, or left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from steerctl.data.overlap import Strictness, count_overlaps, find_overlaps, overlapping, training_rows
from steerctl.errors import DataError
from steerctl.run.questions import Questions

READ_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class Contamination:
    """The questions that are asked, and by benchmark what is to be said of those in the training file."""

    questions: tuple[Questions, ...]
    flags: Mapping[str, Mapping[str, Any]]


def contamination(
    questions: Sequence[Questions], path: str, exclude: Strictness | None, split: str = "train"
) -> Contamination:
    """Compare every question with every row of a training file.

    exclude  how alike they must be for a question to be left out; None: none is, those that are `same` are flagged

    Raises:
        DataError: the file cannot be used, or a benchmark has no question left.
    """
    problems = [problem for each in questions for problem in each.problems]
    overlaps = find_overlaps(problems, training_rows(path, split))
    strictness: Strictness = exclude or "same"
    flagged = overlapping(overlaps, strictness)
    kept, flags = [], {}
    for each in questions:
        own = {problem.id: flagged[problem.id] for problem in each.problems if problem.id in flagged}
        counts = count_overlaps(each.problems, [overlap for overlap in overlaps if overlap.problem_id in _ids(each)])
        flags[each.name] = {
            "overlap": {
                "train_data": Path(path).name,
                "train_data_hash": _file_hash(path),
                "strictness": strictness,
                "questions": len(own),
                "excluded": exclude is not None,
                "counts": {source: asdict(count) for source, count in counts.items()},
                "rows": {name: overlap.row_id for name, overlap in sorted(own.items())},
            }
        }
        left = tuple(problem for problem in each.problems if exclude is None or problem.id not in own)
        if not left:
            raise DataError(f"{each.name}: every question is in {path}; leave the benchmark out of the suite")
        kept.append(replace(each, problems=left))
    return Contamination(tuple(kept), flags)


def _ids(questions: Questions) -> set[str]:
    return {problem.id for problem in questions.problems}


def _file_hash(path: str) -> str | None:
    """Of the file's bytes; None for a data set of the hub."""
    file = Path(path).expanduser()
    if not file.is_file():
        return None
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()[:16]
