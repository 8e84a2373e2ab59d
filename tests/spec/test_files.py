"""What an experiment reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec
from steerctl.spec.machine import Machine

CPU = Machine(cores=2, gpus=0, cpu_bfloat16=False, wandb_login=False)


def found(path: Path, *overrides: str, machine: Machine | None = CPU) -> list[str]:
    findings = check_spec(load_spec(path, ["policy.model=owner/name", *overrides]).spec, machine)
    return [f"{each.level} {each.path}: {each.text}" for each in findings]


@pytest.fixture
def arithmetic(write, tmp_path: Path) -> Path:
    return write(write().read_text().replace("{kind: verl, path: problems.parquet}", "{kind: arithmetic}"))


def test_fewer_problems_than_one_step_asks(arithmetic: Path) -> None:
    assert found(arithmetic, "data.train.count=64", "output=runs") == []
    (line,) = found(arithmetic, "data.train.count=63")
    assert line.startswith("warning rollout.problems_per_step: 64 are asked in one step, data.train has 63 at most")


def test_rows_of_files_are_counted(write, tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["x"] * 10}), tmp_path / "ten.parquet")
    (tmp_path / "three.jsonl").write_text("{}\n\n{}\n{}")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    path = write()
    for name, rows in (("ten.parquet", 10), ("three.jsonl", 3)):
        (line,) = found(path, f"data.train.path={tmp_path / name}")
        assert f"data.train has {rows} at most" in line
    assert (
        "data.train has 2 at most"
        in found(path, f"data.train.path={tmp_path / 'ten.parquet'}", "data.train.limit=2")[0]
    )
    assert found(path, f"data.train.path={tmp_path / 'damaged.parquet'}") == []
    assert found(path, f"data.train.path={tmp_path / 'ten.parquet'}", machine=None) == []


def test_an_output_in_which_no_folder_can_be_made(arithmetic: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    for output, said in (
        (tmp_path / "file", "is a file, so"),
        (tmp_path / "file" / "deeper", "is a file, so"),
        (tmp_path / "loose", "is a link to nothing"),
        (tmp_path / ("x" * 260), "is longer than"),
    ):
        (line,) = found(arithmetic, f"output={output}")
        assert line.startswith("error output: ")
        assert said in line
    assert found(arithmetic, f"output={tmp_path / 'made' / 'later'}") == []
    assert found(arithmetic, f"output={tmp_path / 'file'}", machine=None) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_that_may_not_be_written(arithmetic: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "may not be written to" in found(arithmetic, f"output={tmp_path}")[0]
    finally:
        tmp_path.chmod(0o700)
