"""Rollouts that were saved, as groups in their order: from a file of `steerctl rollout`, or from a run folder."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steerctl.errors import DataError
from steerctl.store.record import ROLLOUTS, RunRecord, is_run_folder, resolve, table_path
from steerctl.store.rollouts import unlist
from steerctl.store.sample_rows import KINDS, read_tables
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict

NEEDED = (
    "problem_id", "sample", "prompt", "gold", "prompt_ids", "token_ids", "text", "verdict", "answer", "why", "status",
    "finish", "seed", "weight_version", "rollout_logprobs",
)  # fmt: skip
"""Columns without which nothing can be replayed."""
KEPT_PIECES = 2
"""Pieces held in memory: a block may reach over the end of one."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of the whole that are read together; `read` takes the columns."""

    rows: int
    read: Callable[[list[str]], Any]


@dataclass(frozen=True, slots=True)
class SavedRollouts:
    """Groups of equal size in the order they were saved.

    sampled   the settings they were sampled under, as JSON values of the experiment; None where they are not known
    steps     of a run folder: which steps' rollouts it has
    replaced  of a run folder: groups that dynamic sampling left out, by index of the step among `steps`
    """

    path: Path
    group_size: int
    groups: int
    sampled: Mapping[str, Any] | None
    steps: tuple[int, ...] = ()
    replaced: Mapping[int, int] = field(default_factory=dict)
    pieces: tuple[_Piece, ...] = ()

    @classmethod
    def open(cls, path: Path) -> SavedRollouts:
        """A .parquet or .jsonl file of rollouts, or a run folder.

        Raises:
            DataError: there is none, a column is missing, or the rows are no groups of equal size.
        """
        where = resolve(path)
        if where.is_dir():
            return _from_run(where)
        if not where.is_file():
            raise DataError(f"{path}: no such file or run folder")
        if where.suffix == ".jsonl":
            return _from_json(where)
        pieces = _row_groups(where)
        metadata = (pq.read_schema(where).metadata or {}).get(b"steerctl")
        return _whole(where, pieces, json.loads(metadata).get("experiment") if metadata else None)

    def block(self, start: int, stop: int) -> list[RolloutGroup]:
        """Groups number `start` to `stop` (exclusive; fewer at the end), with the saved verdicts and no rewards."""
        tables = list(self._slices(start * self.group_size, stop * self.group_size))
        return _groups(pa.concat_tables(tables), self.group_size) if tables else []

    def _slices(self, first: int, end: int) -> Iterator[Any]:
        starts = [0]
        for piece in self.pieces:
            starts.append(starts[-1] + piece.rows)
        index = max(bisect_right(starts, first) - 1, 0)
        while index < len(self.pieces) and starts[index] < end:
            low = max(first - starts[index], 0)
            high = min(end - starts[index], self.pieces[index].rows)
            yield _loaded(self.pieces[index]).slice(low, high - low)
            index += 1


def _from_run(path: Path) -> SavedRollouts:
    if not is_run_folder(path):
        raise DataError(f"{path}: is a folder but no run folder; name a file of rollouts, or a run folder")
    run = RunRecord(path)
    steps = run.rollout_steps()
    if not steps:
        raise DataError(f"{path}: this run has no saved rollouts; it ran with log.rollouts_every=0")
    counts = {int(line["step"]): int(line.get("groups/replaced/count", 0)) for line in run.read_metrics()}
    pieces = [piece for step in steps for piece in _row_groups(table_path(path / ROLLOUTS, step))]
    replaced = {index: counts.get(step, 0) for index, step in enumerate(steps)}
    return _whole(path, pieces, json.loads(run.spec_json), tuple(steps), replaced)


def _from_json(path: Path) -> SavedRollouts:
    """Lines cannot be found by their number, so the whole file is held."""
    tables = list(read_tables(path, NEEDED))
    _check_columns(path, tables[0].schema if tables else pa.schema([]))
    return _whole(path, [_Piece(table.num_rows, partial(table.select)) for table in tables], None)


def _row_groups(path: Path) -> list[_Piece]:
    try:
        metadata = pq.read_metadata(path)
        _check_columns(path, pq.read_schema(path))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as rollouts: {str(error).splitlines()[0][:200]}") from error
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    return [_Piece(count, partial(_read_row_group, path, index)) for index, count in enumerate(rows)]


def _check_columns(path: Path, schema: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
    """Every needed column is there, of its type."""
    for name in NEEDED:
        if name not in schema.names:
            raise DataError(f"{path}: no column {name}; expected what `steerctl rollout` or a run writes")
        if schema.field(name).type != KINDS[name]:
            raise DataError(f"{path}: column {name} is {schema.field(name).type}, expected {KINDS[name]}")


def _read_row_group(path: Path, index: int, columns: list[str]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    with pq.ParquetFile(path) as file:
        return file.read_row_group(index, columns=columns)


def _whole(
    path: Path,
    pieces: list[_Piece],
    sampled: Mapping[str, Any] | None,
    steps: tuple[int, ...] = (),
    replaced: Mapping[int, int] | None = None,
) -> SavedRollouts:
    """The groups of the pieces, once the rows are known to be groups of equal size."""
    samples = [sample for piece in pieces for sample in piece.read(["sample"]).column("sample").to_pylist()]
    size = max(samples, default=-1) + 1
    if not samples or samples != list(range(size)) * (len(samples) // size):
        raise DataError(f"{path}: its rows are no groups of equal size")
    return SavedRollouts(path, size, len(samples) // size, sampled, steps, replaced or {}, tuple(pieces))


@lru_cache(maxsize=KEPT_PIECES)
def _loaded(piece: _Piece) -> Any:  # noqa: ANN401 (pyarrow has no types)
    return piece.read(list(NEEDED))


def _groups(table: Any, size: int) -> list[RolloutGroup]:  # noqa: ANN401 (pyarrow has no types)
    lists = {name: unlist(table.column(name)) for name in ("prompt_ids", "token_ids", "rollout_logprobs")}
    plain = {name: table.column(name).to_pylist() for name in NEEDED if name not in lists}
    rollouts = [
        # Copies: arrow's memory is read-only, and torch wants to be able to write.
        Rollout(ids.copy(), logprobs.copy(), *rest)
        for ids, logprobs, *rest in zip(
            lists["token_ids"],
            lists["rollout_logprobs"],
            *(plain[name] for name in ("text", "finish", "seed", "weight_version")),
            strict=True,
        )
    ]
    verdicts = [Verdict(*row) for row in zip(*(plain[n] for n in ("verdict", "answer", "why", "status")), strict=True)]
    found = []
    for row in range(0, table.num_rows - size + 1, size):
        prompt = (Message("user", plain["prompt"][row]),)
        problem = Problem(plain["problem_id"][row], prompt, plain["gold"][row], "saved")
        ids = tuple(lists["prompt_ids"][row].tolist())
        found.append(
            RolloutGroup(problem, ids, tuple(rollouts[row : row + size]), tuple(verdicts[row : row + size]), ())
        )
    return found
