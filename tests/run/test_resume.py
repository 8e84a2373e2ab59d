"""Killed at any moment, resumed, equal bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from tests.run.command import metrics, start, train, weights, write_spec

KILLS = int(os.environ.get("STEERCTL_KILLS", "4"))
"""SIGKILLs in the random test; 10 in the measured run of docs/benchmarks.md."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    done = train(write_spec(folder), "--quiet")
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "small", time.monotonic() - started


def assert_equal_runs(run, other):
    assert metrics(run) == metrics(other)
    assert weights(run) == weights(other)
    for step in range(1, 7):
        name = f"rollouts/step_{step:06d}.parquet"
        assert pq.read_table(run / name).equals(pq.read_table(other / name)), step


def test_killed_at_random_moments_and_resumed_equals_the_undisturbed_run(undisturbed, tmp_path):
    reference, seconds = undisturbed
    rng = random.Random(os.environ.get("STEERCTL_KILL_SEED", "7"))
    spec, run = write_spec(tmp_path), tmp_path / "runs" / "small"
    arguments = [spec]
    for _ in range(KILLS):
        process = start(*arguments, "--quiet")
        try:
            process.wait(timeout=rng.uniform(0.3, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        arguments = ["--resume", run] if (run / "status.json").exists() else [spec]
    done = train(*arguments, "--quiet")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(run, reference)


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(undisturbed, tmp_path):
    reference, _ = undisturbed
    spec, run = write_spec(tmp_path), tmp_path / "runs" / "small"
    process = start(spec)
    for line in process.stdout:
        if line.startswith("step 1/"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"steerctl train --resume {run}" in err
    assert "Traceback" not in err
    finished = int(metrics(run)[-1]["step"])
    assert 1 <= finished < 6
    assert (run / "checkpoints" / f"step_{finished:06d}").is_dir()
    done = train("--resume", run, "--quiet")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(run, reference)


def test_a_finished_run_can_be_made_longer_and_equals_the_long_run(undisturbed, tmp_path):
    reference, _ = undisturbed
    spec, run = write_spec(tmp_path, steps=3), tmp_path / "runs" / "small"
    assert train(spec, "--quiet").returncode == 0
    done = train("--resume", run, "steps=6", "--quiet")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(run, reference)


def test_a_resumed_run_may_not_change_what_it_is(undisturbed):
    run, _ = undisturbed
    done = train("--resume", run, "optim.lr=1e-4")
    assert done.returncode == 2
    assert "a resumed run may only change" in done.stderr


def contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_fewer_steps_than_are_finished_are_refused_before_anything_is_written(undisturbed):
    run, _ = undisturbed
    before = contents(run)
    done = train("--resume", run, "steps=1")
    assert done.returncode == 2
    said = f"command line: steps=1: {run} has 6 finished steps; name a number above\n"
    assert (done.stderr, done.stdout) == (said, "")
    assert contents(run) == before


def test_a_finished_run_has_nothing_left_to_do(undisturbed):
    run, _ = undisturbed
    before = contents(run)
    done = train("--resume", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"nothing left to do: all 6 steps are finished; run folder: {run}\n"
    assert contents(run) == before


def test_a_damaged_checkpoint_is_passed_over_with_a_note(undisturbed, tmp_path):
    reference, _ = undisturbed
    run = tmp_path / "small"
    shutil.copytree(reference, run)
    file = run / "checkpoints/step_000006/policy/state-00001.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = train("--resume", run, "steps=7", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    damaged = "step_000006 (policy/state-00001.safetensors has changed)"
    assert f"warning: damaged checkpoint: {damaged}; going on from step 4" in done.stdout.splitlines()
    assert metrics(run)[:7] == metrics(reference)
    assert [line["step"] for line in metrics(run)] == [0, 1, 2, 3, 4, 5, 6, 7]
