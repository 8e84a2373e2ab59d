"""Killed at bad moments and finished by others: each cell once, the numbers of an undisturbed sweep."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.run.command import metrics
from tests.sweep.sweeps import STEER, VARIANTS, rows, run, start, trials, wait_until, write_sweep

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

BROKEN = {"name": "broken", "set": {"optim.lr": 1e30}, "baseline": "grpo"}
"""Loss and gradient are not finite at the second update: fails by itself, every time."""
AXES = [{"variants": [*VARIANTS, BROKEN]}]
TIMINGS = ("attempts", "seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run(write_sweep(folder, axes=AXES), "--workers", 2)
    return folder / "runs" / "tiny", done


def numbers(folder: Path) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows(folder / "cells.csv")]


def test_an_undisturbed_sweep_and_a_cell_that_fails_by_itself(undisturbed):
    folder, done = undisturbed
    assert done.returncode == 1, done.stdout
    states = {row["cell"]: (row["state"], row["attempts"]) for row in rows(folder / "cells.csv")}
    assert states == {
        "grpo-seed1": ("finished", "1"),
        "steer-seed1": ("finished", "1"),
        "broken-seed1": ("failed", "1"),
    }
    reason = next(row["reason"] for row in rows(folder / "cells.csv") if row["cell"] == "broken-seed1")
    assert "step 1, update" in reason
    assert "failed: broken-seed1: " in done.stdout
    assert "--retry-failed" in done.stdout


def test_killed_three_times_and_finished_by_two_workers(undisturbed, tmp_path):
    reference, _ = undisturbed
    sweep, folder = write_sweep(tmp_path, axes=AXES), tmp_path / "runs" / "tiny"
    lines = folder / "runs" / "steer-seed1" / "metrics.jsonl"

    def steps() -> int:
        return lines.read_text().count('"step"') if lines.exists() else 0

    moments = [(folder / "logs" / "grpo-seed1.txt").exists, lambda: steps() >= 1, lambda: steps() >= 3]
    for moment in moments:
        worker = start(sweep, "--workers", 2)
        wait_until(moment)
        os.kill(worker.pid, signal.SIGKILL)  # the worker alone: its cells die with it
        worker.communicate()
    two = [start(sweep, "--workers", 1) for _ in range(2)]
    said = [worker.communicate(timeout=280)[0] for worker in two]
    assert [worker.returncode for worker in two] == [1, 1], said
    assert numbers(folder) == numbers(reference)
    complete = [trial.user_attrs["job"] for trial in trials(folder) if trial.state == TrialState.COMPLETE]
    assert sorted(complete) == ["grpo-seed1", "steer-seed1"]
    for cell in complete:
        assert metrics(folder / "runs" / cell) == metrics(reference / "runs" / cell)
    failed = [trial for trial in trials(folder) if trial.user_attrs.get("ending") == "failed"]
    assert len(failed) == 1, "what fails by itself is not tried again"
    assert (folder / "variants.csv").read_text() == (reference / "variants.csv").read_text()
    assert not list(folder.rglob(".tmp-*"))


def test_a_cell_that_the_machine_kills_goes_on_and_ctrl_c_loses_nothing(undisturbed, tmp_path):
    reference, _ = undisturbed
    axes = [{"variants": [{"name": "steer", "set": STEER}]}]
    sweep, folder = write_sweep(tmp_path, axes=axes, retries=1), tmp_path / "runs" / "tiny"
    cell = folder / "runs" / "steer-seed1"
    worker = start(sweep)
    wait_until((cell / "metrics.jsonl").exists)
    os.kill(int((cell / "lock").read_text().partition('"pid": ')[2].partition(",")[0]), signal.SIGKILL)
    said = []
    for line in worker.stdout:
        said.append(line)
        if "goes on" in line:
            break
    worker.send_signal(signal.SIGINT)
    out, _ = worker.communicate(timeout=200)
    assert worker.returncode == 130, out
    assert "steer-seed1: killed by signal 9 (SIGKILL); 1 more tries" in "".join(said)
    assert "the same command goes on" in out
    done = run(sweep)
    assert done.returncode == 0, done.stdout
    assert metrics(cell) == metrics(reference / "runs" / "steer-seed1")


def test_failed_cells_are_tried_again_when_asked(undisturbed):
    folder, _ = undisturbed
    done = run(folder.parents[1] / "sweep.yaml", "--retry-failed")
    assert done.returncode == 1
    attempts = {row["cell"]: row["attempts"] for row in rows(folder / "cells.csv")}
    assert attempts == {"grpo-seed1": "1", "steer-seed1": "1", "broken-seed1": "2"}
