"""Workers as jobs, against submitit's local executor; there is no Slurm here."""

from __future__ import annotations

import json
import shutil

import pytest

from steerctl.errors import UserError
from steerctl.sweep.command import SweepRequest, plan_sweep
from steerctl.sweep.slurm import submit, worker_command
from tests.sweep.sweeps import VARIANTS, rows, run, wait_until, write_sweep


@pytest.mark.engine
@pytest.mark.timeout(400)
def test_submitted_workers_finish_the_sweep(tmp_path):
    sweep = write_sweep(tmp_path, {"steps": 1, "validate_every": 1}, axes=[{"variants": VARIANTS[:1]}])
    done = run(sweep, "--launcher", "local", "--workers", 1)
    assert done.returncode == 0, done.stdout
    assert "submitted 1 workers (local): " in done.stdout
    folder = tmp_path / "runs" / "tiny"
    wait_until((folder / "variants.csv").exists)
    assert [row["state"] for row in rows(folder / "cells.csv")] == ["finished"]
    assert list((folder / "slurm").glob("*_submitted.pkl"))
    assert json.loads((folder / "sweep.json").read_text())["seeds"] == [1]


def test_each_job_is_a_worker_of_one_cell_at_a_time(tmp_path):
    sweep = write_sweep(tmp_path)
    command = worker_command(SweepRequest(str(sweep), ("steps=2",), 8))
    assert command[1:] == ["-m", "steerctl", "sweep", str(sweep), "steps=2", "--workers", "1"]


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="there is a Slurm here")
def test_without_slurm_it_says_so(tmp_path):
    sweep = write_sweep(tmp_path)
    with pytest.raises(UserError, match=r"slurm: .*; submit from a machine of the cluster"):
        submit(plan_sweep(str(sweep)), SweepRequest(str(sweep)), "slurm")
