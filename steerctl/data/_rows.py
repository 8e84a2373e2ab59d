"""Rows of the schema DAPO and verl share, from parquet, JSON lines or the Hugging Face hub, checked by column."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steerctl.data._paths import is_file_path
from steerctl.errors import DataError

COLUMNS: Mapping[str, str] = {
    "prompt": "a list of {role, content}",
    "reward_model": "a struct with the text ground_truth",
    "data_source": "text",
}
_OPTIONAL = "extra_info"


def read_rows(path: str, split: str) -> Iterator[Mapping[str, Any]]:
    """Rows as mappings with the columns of `COLUMNS` and `extra_info` where there is one. Raises DataError."""
    if not is_file_path(path):
        return _hub_rows(path, split)
    file = Path(path).expanduser()
    if not file.exists():
        raise DataError(
            f"{path}: no such file; name a .parquet or .jsonl file, or a Hugging Face data set (owner/name)"
        )
    if not file.is_file():
        raise DataError(f"{path}: is a folder; name one .parquet or .jsonl file in it")
    if file.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    return _json_rows(file) if file.suffix in {".jsonl", ".json"} else _parquet_rows(file)


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        schema = pq.read_schema(file)
        names = _checked(str(file), schema)
        table = pq.read_table(file, columns=names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read as parquet: {_first_line(error)}") from error
    return _table_rows(table)


def _table_rows(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _checked(source: str, schema: pa.Schema) -> list[str]:
    """Columns to read, once each needed one is there and of the right type."""
    for column, expected in COLUMNS.items():
        if column not in schema.names:
            raise DataError(
                f"{source}: column {column} is missing (expected {expected}; found {_listed(schema.names)})"
            )
        found = schema.field(column).type
        if not _fits(column, found):
            raise DataError(f"{source}: column {column} is {found}, expected {expected}")
    return [*COLUMNS, *([_OPTIONAL] if _OPTIONAL in schema.names else [])]


def _fits(column: str, found: pa.DataType) -> bool:
    if column == "data_source":
        return _is_text(found)
    if column == "reward_model":
        return _has_text(found, "ground_truth")
    if not (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return False
    return _has_text(found.value_type, "role") and _has_text(found.value_type, "content")


def _has_text(struct: pa.DataType, name: str) -> bool:
    if not pa.types.is_struct(struct):
        return False
    index: int = struct.get_field_index(name)
    return index >= 0 and _is_text(struct.field(index).type)


def _is_text(found: pa.DataType) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def _json_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    """One object per line; a column that no row has is missing."""
    rows: list[Mapping[str, Any]] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for count, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_json_row(file, count, line))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as JSON lines: {_first_line(error)}") from error
    seen = set().union(*rows) if rows else set()
    for column, expected in COLUMNS.items():
        if rows and column not in seen:
            raise DataError(f"{file}: column {column} is missing (expected {expected}; found {_listed(sorted(seen))})")
    return iter(rows)


def _json_row(file: Path, count: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}:{count}: not a line of JSON: {_first_line(error)}") from error
    if not isinstance(row, dict):
        raise DataError(f"{file}:{count}: found {type(row).__name__}, expected an object with {_listed(list(COLUMNS))}")
    return row


def _hub_rows(path: str, split: str) -> Iterator[Mapping[str, Any]]:
    loaded = load_hub(path, split)
    names = _checked(f"{path} ({split})", loaded.features.arrow_schema)
    return _table_rows(loaded.with_format("arrow").select_columns(names)[:])


def load_hub(path: str, split: str, configuration: str | None = None) -> Any:  # noqa: ANN401 (an optional extra's class)
    """A data set of the Hugging Face hub, whatever its columns; iterating gives mappings. Raises DataError."""
    try:
        import datasets  # noqa: PLC0415 (an optional extra)
    except ImportError:
        raise DataError(
            f"{path}: reading from the Hugging Face hub needs an extra: pip install 'steerctl[hub]', "
            "or download a .parquet file and name that"
        ) from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are told in one line, if they fail
    try:
        return datasets.load_dataset(path, *([] if configuration is None else [configuration]), split=split)
    except Exception as error:  # the library raises whatever its file systems raise
        raise DataError(f"{path}: cannot be loaded from the Hugging Face hub: {_first_line(error)}") from error


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
