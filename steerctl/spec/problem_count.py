"""How many problems a data set can have at most, told without loading it."""

from __future__ import annotations

from pathlib import Path

from steerctl.data import Dataset
from steerctl.data.arithmetic import Arithmetic
from steerctl.data.verl import Verl

MAX_BYTES = 64 * 2**20
"""JSON lines are counted in files up to this size."""


def most_problems(dataset: Dataset, *, look: bool) -> int | None:
    """An upper bound: rows that will be left out are not known yet. None: not known without loading.

    look  whether files of this machine may be read: a parquet file's footer, the lines of a small JSONL file
    """
    if isinstance(dataset, Arithmetic):
        return dataset.count
    if not isinstance(dataset, Verl):
        return None
    bounds = [dataset.limit, _rows(Path(dataset.path).expanduser()) if look else None]
    return min((bound for bound in bounds if bound is not None), default=None)


def _rows(file: Path) -> int | None:
    try:
        if not file.is_file() or file.stat().st_size == 0:
            return None
        if file.suffix in (".jsonl", ".json"):
            return _lines(file) if file.stat().st_size <= MAX_BYTES else None
        from pyarrow import ArrowException  # noqa: PLC0415 (a spec is checked without loading pyarrow where it can be)
        from pyarrow.parquet import read_metadata  # noqa: PLC0415
    except (OSError, ImportError):
        return None
    try:
        return int(read_metadata(file).num_rows)
    except (ArrowException, OSError):
        return None


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(bool(line.strip()) for line in lines)
