"""`--only`: some variants' cells of a sweep that others go on with."""

from __future__ import annotations

import pytest

from steerctl.errors import SpecError
from steerctl.sweep.command import SweepRequest, look_at, plan_sweep
from steerctl.sweep.slurm import worker_command
from tests.sweep.sweeps import rows, run, trials, write_sweep


def test_the_cells_of_the_named_variants_and_names_that_are_none(tmp_path):
    path = str(write_sweep(tmp_path, seeds=[1, 2]))
    agenda = plan_sweep(path, only=("steer",))
    assert [job.id for job in agenda.wanted] == ["steer-seed1", "steer-seed2"]
    assert len(agenda.jobs) == 4
    assert [cell.id for cell in look_at(agenda).cells] == ["steer-seed1", "steer-seed2"]
    assert plan_sweep(path).wanted == agenda.jobs
    with pytest.raises(SpecError, match=r"--only: no variant is called ster; did you mean steer\?"):
        plan_sweep(path, only=("ster",))
    with pytest.raises(SpecError, match=r"is called \(nothing\); there are grpo, steer"):
        plan_sweep(path, only=("grpo", ""))
    search = {"trials": 2, "space": {"optim.lr": {"low": 1e-4, "high": 1e-3}}}
    with pytest.raises(SpecError, match="a search has none"):
        plan_sweep(str(write_sweep(tmp_path / "s", axes=None, search=search)), only=("grpo",))


def test_a_job_of_a_cluster_is_told(tmp_path):
    request = SweepRequest(str(tmp_path / "s.yaml"), ("steps=2",), None, only=("a", "b"))
    assert worker_command(request)[-5:] == ["steps=2", "--only", "a,b", "--workers", "1"]


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_shared_cells_are_run_once_and_the_summary_holds_them_all(tmp_path):
    path, folder = write_sweep(tmp_path), tmp_path / "runs" / "tiny"
    done = run(path, "--only", "steer", "--workers", 1)
    assert done.returncode == 0, done.stdout
    assert {row["cell"]: row["state"] for row in rows(folder / "cells.csv")} == {
        "grpo-seed1": "waiting",
        "steer-seed1": "finished",
    }
    assert "grpo-seed1" not in done.stdout
    before = (folder / "runs" / "steer-seed1" / "metrics.jsonl").stat().st_mtime_ns
    done = run(path, "--workers", 1)
    assert done.returncode == 0, done.stdout
    assert [row["state"] for row in rows(folder / "cells.csv")] == ["finished"] * 2
    assert sorted(trial.user_attrs["job"] for trial in trials(folder)) == ["grpo-seed1", "steer-seed1"]
    assert (folder / "runs" / "steer-seed1" / "metrics.jsonl").stat().st_mtime_ns == before
    assert {row["variant"] for row in rows(folder / "variants.csv")} == {"grpo", "steer"}
