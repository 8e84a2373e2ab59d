"""An upper bound on the problems of a data set, without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerctl.data.arithmetic import Arithmetic
from steerctl.data.verl import Verl
from steerctl.spec import problem_count
from steerctl.spec.problem_count import most_problems


def test_what_the_spec_says() -> None:
    assert most_problems(Arithmetic(count=7), look=False) == 7
    assert most_problems(Verl(path="owner/name", limit=5), look=True) == 5
    assert most_problems(Verl(path="owner/name"), look=True) is None


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n" * 4)
    assert most_problems(Verl(path=str(file)), look=True) == 4
    assert most_problems(Verl(path=str(file)), look=False) is None
    monkeypatch.setattr(problem_count, "MAX_BYTES", 3)
    assert most_problems(Verl(path=str(file)), look=True) is None
