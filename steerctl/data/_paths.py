"""What a data path means."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SUFFIXES = (".parquet", ".jsonl", ".json")


def is_file_path(path: str) -> bool:
    """Whether a data path means a file; else it is the id of a Hugging Face data set ("owner/name")."""
    if path.endswith(_SUFFIXES) or path.startswith((".", "/", "~")) or Path(path).exists():
        return True
    return _HUB_ID.fullmatch(path) is None
