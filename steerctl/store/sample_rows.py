"""The rows of a file of rollouts: what is added to a step's table, and reading both formats."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steerctl.errors import DataError, RunFolderError
from steerctl.store.rollouts import RolloutTable, to_arrow

KINDS: Mapping[str, Any] = {
    "position": pa.int64(), "problem_id": pa.string(), "sample": pa.int32(),
    "prompt": pa.string(), "gold": pa.string(), "prompt_ids": pa.list_(pa.int32()), "token_ids": pa.list_(pa.int32()),
    "text": pa.string(), "verdict": pa.float32(), "answer": pa.string(), "why": pa.string(), "status": pa.string(),
    "reward": pa.float32(), "finish": pa.string(), "seed": pa.uint64(), "weight_version": pa.int32(),
    "rollout_logprobs": pa.list_(pa.float32()), "old_logprobs": pa.list_(pa.float32()),
    "entropy": pa.list_(pa.float32()), "temperature": pa.float64(), "top_p": pa.float64(), "top_k": pa.int32(),
    "engine": pa.string(), "engine_version": pa.string(), "model": pa.string(), "model_hash": pa.string(),
    "chunk": pa.int64(), "generate_seconds": pa.float64(), "verify_seconds": pa.float64(), "fingerprint": pa.string(),
}  # fmt: skip
"""Every column there can be, in order."""
LINES_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True)
class FoundOrigin:
    """Where a file's rollouts are from: its fingerprint, and the whole record where the format holds it (parquet)."""

    fingerprint: str
    record: Mapping[str, Any] | None


def sample_table(table: RolloutTable, first: int, group_size: int, constants: Mapping[str, Any]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """The arrow table of one part: groups from position `first`, and columns that are alike in all its rows."""
    arrow = to_arrow(table)
    rows = len(table)
    columns = {name: arrow.column(name) for name in arrow.column_names if name in KINDS}
    columns["position"] = pa.array([first + row // group_size for row in range(rows)], KINDS["position"])
    columns |= {name: pa.array([value] * rows, KINDS[name]) for name, value in constants.items()}
    return pa.table({name: columns[name] for name in KINDS if name in columns})


def json_lines(table: Any) -> Iterator[str]:  # noqa: ANN401 (pyarrow has no types)
    """One JSON object per row; float32 numbers in their shortest form, what is not finite as null."""
    names = table.column_names
    columns = [_plain(table.column(name)) for name in names]
    for row in zip(*columns, strict=True):
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False) + "\n"


def read_tables(path: Path, wanted: Sequence[str]) -> Iterator[Any]:
    """The columns of `wanted` that the file has, some rows at a time.

    Raises:
        DataError: the file cannot be read.
    """
    yield from _read_json(path, wanted) if path.suffix == ".jsonl" else _read_parquet(path, wanted)


def read_origin(path: Path) -> FoundOrigin:
    """Where the file's rollouts are from.

    Raises:
        RunFolderError: it is no file of rollouts, so it is not ours to replace.
    """
    try:
        first = next(iter(read_tables(path, ["fingerprint"])))
        prints = first.column("fingerprint").to_pylist()
        if path.suffix == ".jsonl":
            return FoundOrigin(prints[0], None)
        return FoundOrigin(prints[0], json.loads(pq.read_schema(path).metadata[b"steerctl"]))
    except (DataError, StopIteration, KeyError, IndexError, ValueError, TypeError) as error:
        raise RunFolderError(f"{path} exists and is no file of rollouts, so it stays; choose another --out") from error


def differences(one: Mapping[str, Any], other: Mapping[str, Any], shown: int = 3) -> str:
    """What differs between two records of JSON values, e.g. "rollout.temperature: 1.0 there, 0.8 here"."""
    left, right = dict(_leaves(one)), dict(_leaves(other))
    paths = [path for path in {**left, **right} if left.get(path) != right.get(path)]
    said = [f"{path}: {left.get(path, 'absent')} there, {right.get(path, 'absent')} here" for path in paths[:shown]]
    return "; ".join([*said, *([f"{len(paths) - shown} more"] if len(paths) > shown else [])])


def _leaves(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (JSON)
    if not isinstance(record, Mapping):
        yield path, record
        return
    for key, value in record.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in wanted if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet: {_first_line(error)}") from error


def _read_json(path: Path, wanted: Sequence[str]) -> Iterator[Any]:
    schema = None
    try:
        with path.open(encoding="utf-8") as lines:
            while rows := [json.loads(line) for line in islice(lines, LINES_AT_A_TIME)]:
                schema = schema or pa.schema([(name, KINDS[name]) for name in wanted if name in rows[0]])
                yield pa.Table.from_pylist(rows, schema=schema)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        text = f"cannot be read as rollouts in JSON lines, as `steerctl rollout` writes them: {_first_line(error)}"
        raise DataError(f"{path}: {text}") from error


def _plain(column: Any) -> list[Any]:  # noqa: ANN401 (pyarrow has no types)
    """The values of a column as JSON takes them."""
    if column.type == pa.list_(pa.float32()):
        return [[_short(value) for value in row.values.to_numpy()] for row in column]
    if column.type == pa.float32():
        return [_short(value) for value in column.to_numpy()]
    values: list[Any] = column.to_pylist()
    return values


def _short(value: Any) -> float | None:  # noqa: ANN401 (a float32)
    """The float64 with the fewest digits that is this float32 when it is read back."""
    return float(str(value)) if math.isfinite(value) else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
