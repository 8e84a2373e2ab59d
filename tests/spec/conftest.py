"""A small valid experiment file to start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BASE = """\
name: base
data:
  train: {kind: verl, path: problems.parquet}
reward:
  verifier: {kind: math_verify}
optim:
  lr: 2e-6
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path; without text, a valid experiment."""

    def write_file(text: str = BASE, name: str = "exp.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file
