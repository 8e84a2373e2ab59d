"""The folder of one evaluation: a file of responses per benchmark, and one result.

result.json            what was measured, and everything that decides it; the same bytes whenever it is made again
samples/NAME.parquet   every response of a benchmark with its verdict; docs/rollouts.md
samples/NAME.parquet.parts/   while the benchmark is being sampled
timings.json           seconds of generating and judging
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from steerctl.errors import DataError, RunFolderError
from steerctl.store.atomic import write_text
from steerctl.store.sample_rows import read_tables
from steerctl.store.samples import SampleFile

FORMAT = 1
RESULT, TIMINGS, SAMPLES = "result.json", "timings.json", "samples"
COLUMNS = ("problem_id", "sample", "verdict", "answer", "why", "status", "finish", "token_ids")


@dataclass(frozen=True, slots=True)
class Responses:
    """The responses to P questions, G each: `verdicts_PG[i, j]` is sample j of question `ids[i]`, and so on by row.

    answers, whys, statuses  by question, then sample
    truncated_PG             cut at the longest response allowed
    lengths_PG               tokens
    """

    ids: tuple[str, ...]
    verdicts_PG: NDArray[np.float64]
    answers: tuple[tuple[str | None, ...], ...]
    whys: tuple[tuple[str, ...], ...]
    statuses: tuple[tuple[str, ...], ...]
    truncated_PG: NDArray[np.bool_]
    lengths_PG: NDArray[np.int64]

    def of(self, ids: Sequence[str]) -> Responses:
        """Those of these questions, in this order.

        Raises:
            DataError: a question has no responses.
        """
        places = {name: place for place, name in enumerate(self.ids)}
        if missing := [name for name in ids if name not in places]:
            raise DataError(f"{len(missing)} questions have no responses, first {missing[0]}; a gap is never a zero")
        rows = [places[name] for name in ids]
        return Responses(
            ids=tuple(ids),
            verdicts_PG=self.verdicts_PG[rows],
            answers=tuple(self.answers[row] for row in rows),
            whys=tuple(self.whys[row] for row in rows),
            statuses=tuple(self.statuses[row] for row in rows),
            truncated_PG=self.truncated_PG[rows],
            lengths_PG=self.lengths_PG[rows],
        )


class EvaluationFolder:
    """One evaluation, where it is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def result_path(self) -> Path:
        """The result."""
        return self.path / RESULT

    def samples_path(self, benchmark: str) -> Path:
        """The finished file of a benchmark."""
        return self.path / SAMPLES / f"{benchmark}.parquet"

    def samples(self, benchmark: str, origin: Mapping[str, Any], *, overwrite: bool = False) -> SampleFile:
        """The file of a benchmark, to be filled; held by this process until it is closed.

        Raises:
            RunFolderError: as SampleFile.
        """
        return SampleFile(self.samples_path(benchmark), origin, overwrite=overwrite)

    def write(self, result: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """Keep the result; on disk when this returns."""
        write_text(self.path / TIMINGS, _json(timings))
        write_text(self.result_path, _json({"format": FORMAT, **result}))

    def read(self) -> dict[str, Any]:
        """The result.

        Raises:
            RunFolderError: there is none, or it is of another format.
        """
        try:
            found = json.loads(self.result_path.read_text(encoding="utf-8"))
            known = found["format"] == FORMAT and isinstance(found["benchmarks"], dict)
        except FileNotFoundError:
            raise RunFolderError(
                f"{self.path}: no {RESULT} there; name the folder of a finished `steerctl eval`"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{self.result_path}: not the result of an evaluation ({error})") from None
        if not known:
            raise RunFolderError(f"{self.result_path}: of another format than {FORMAT}; evaluate again")
        return dict(found)

    def responses(self, benchmark: str) -> Responses:
        """Every response of a finished benchmark. Raises DataError."""
        return read_responses(self.samples_path(benchmark))

    def seconds(self, benchmark: str) -> dict[str, float]:
        """Of generating and judging, over all parts of a finished benchmark."""
        chunks: dict[int, tuple[float, float]] = {}
        for table in read_tables(self.samples_path(benchmark), ("chunk", "generate_seconds", "verify_seconds")):
            columns = (table.column(name).to_pylist() for name in ("chunk", "generate_seconds", "verify_seconds"))
            chunks |= {chunk: (first, second) for chunk, first, second in zip(*columns, strict=True)}
        generate, verify = (sum(pair[side] for pair in chunks.values()) for side in (0, 1))
        return {"generate": generate, "verify": verify}


def read_responses(path: Path) -> Responses:
    """The responses of a file, by question.

    Raises:
        DataError: the file cannot be read, or its rows are no groups of equal size.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS[:-1], "length")}
    for table in read_tables(path, COLUMNS):
        for name in COLUMNS[:-1]:
            columns[name] += table.column(name).to_pylist()
        columns["length"] += pc.list_value_length(table.column("token_ids")).to_pylist()
    size = max(columns["sample"], default=-1) + 1
    ids = columns["problem_id"][:: max(size, 1)]
    whole = columns["sample"] == list(range(size)) * len(ids)
    if not ids or not whole or columns["problem_id"] != [name for name in ids for _ in range(size)]:
        raise DataError(f"{path}: its rows are no groups of equal size; a missing sample is never counted as wrong")
    if len(set(ids)) != len(ids):
        raise DataError(f"{path}: a question stands in it twice")
    return Responses(
        ids=tuple(ids),
        verdicts_PG=np.array(columns["verdict"], np.float64).reshape(-1, size),
        answers=_rows(columns["answer"], size),
        whys=_rows(columns["why"], size),
        statuses=_rows(columns["status"], size),
        truncated_PG=np.array([finish == "length" for finish in columns["finish"]]).reshape(-1, size),
        lengths_PG=np.array(columns["length"], np.int64).reshape(-1, size),
    )


def _rows(values: list[Any], size: int) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(values[start : start + size]) for start in range(0, len(values), size))


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
