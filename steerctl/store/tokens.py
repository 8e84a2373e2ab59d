"""Token tables on disk: parquet files of one step each, written whole or not at all. Columns: analysis/columns.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steerctl.errors import RunFolderError
from steerctl.store.atomic import storage_errors, writing


def write_tokens(path: Path, table: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
    """Write the Arrow table, zstd-compressed, atomically.

    Raises:
        StorageError: the disk is full or read-only; what was at `path` is as it was.
    """
    with writing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def keep_tokens(folder: Path, step: int, table: Any) -> Path:  # noqa: ANN401 (pyarrow has no types)
    """Write a step's table into a folder, made if it is not there, and return its path; raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:06d}.parquet"
    write_tokens(path, table)
    return path


def read_tokens(path: Path) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """The Arrow table as it was written.

    Raises:
        RunFolderError: the file is missing, or cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RunFolderError(f"{path}: not a token table ({reason})") from error
