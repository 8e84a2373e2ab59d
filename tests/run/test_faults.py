"""What goes wrong is one line, with the right exit code, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steerctl.store.folder import RunFolder
from tests.run.command import ROOT, environment, metrics, start, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def one_line(done: subprocess.CompletedProcess) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


LARGE = {"train": {"kind": "arithmetic", "count": 64}, "max_prompt_tokens": 32}


def wait_for(happened, seconds=120):
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)


def await_line(process, beginning):
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"no line {beginning!r}; {process.stderr.read()}")


def test_nan_in_the_loss_names_step_update_and_micro_batch_and_keeps_the_checkpoint(tmp_path):
    spec, run = write_spec(tmp_path), tmp_path / "runs" / "small"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("poisoned_train.py")), "4", str(spec), "--quiet"],
        env=environment(), capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1
    text = one_line(done)
    assert "step 4, update 1" in text
    assert "micro-batch 1" in text
    assert f"--resume {run}" in text
    assert [line["step"] for line in metrics(run)] == [0, 1, 2, 3]
    assert sorted(path.name for path in (run / "checkpoints").glob("step_*")) == ["step_000002"]
    resumed = train("--resume", run, "--quiet")
    assert resumed.returncode == 0, resumed.stderr


def test_missing_model(tmp_path):
    done = train(write_spec(tmp_path, policy={"model": str(tmp_path / "nowhere")}))
    assert done.returncode == 2
    assert "nowhere" in one_line(done)
    assert not (tmp_path / "runs").exists()


def test_unreadable_yaml(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\nsteps: [1,\n")
    done = train(path)
    assert done.returncode == 2
    assert "broken.yaml:" in one_line(done)


def test_wrong_key_with_its_line(tmp_path):
    path = write_spec(tmp_path, algorithm={"interventions": [{"kind": "steer", "weight_mni": 0.5}]})
    done = train(path)
    assert done.returncode == 2
    text = one_line(done)
    assert "algorithm.interventions.0.weight_mni" in text
    assert "did you mean weight_min" in text


def test_wrong_parquet_schema(tmp_path):
    path = tmp_path / "wrong.parquet"
    pq.write_table(pa.table({"question": ["1+1"], "answer": ["2"]}), path)
    done = train(write_spec(tmp_path, data={"train": {"kind": "verl", "path": str(path)}}, validate_every=0))
    assert done.returncode == 2
    assert "wrong.parquet" in one_line(done)
    assert "prompt" in one_line(done)


def test_a_mistake_found_while_loading_leaves_runs_and_latest_as_they_were(tmp_path):
    runs = tmp_path / "runs"
    RunFolder.create(runs / "kept", "{}", environment={}).close()
    before = sorted(runs.rglob("*"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    bad = write_spec(tmp_path, data={"train": {"kind": "verl", "path": str(empty)}}, validate_every=0)
    done = train(bad)
    assert done.returncode == 2
    assert "empty.jsonl" in one_line(done)
    assert "resume" not in done.stderr
    assert sorted(runs.rglob("*")) == before
    assert (runs / "latest").resolve().name == "kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_says_that_nothing_was_written(tmp_path, number):
    process = start(write_spec(tmp_path))
    wait_for(lambda: "libtorch_cpu" in Path(f"/proc/{process.pid}/maps").read_text())
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + number, "interrupted; nothing was written\n")
    assert not (tmp_path / "runs").exists()


def test_a_second_ctrl_c_abandons_the_step_and_says_how_to_go_on(tmp_path):
    slow = {"problems_per_step": 64, "group_size": 8, "max_tokens": 24}
    process = start(write_spec(tmp_path, rollout=slow, data=LARGE, validate_every=0))
    await_line(process, "step 1/")
    process.send_signal(signal.SIGINT)
    await_line(process, "stopping after this step")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    run = tmp_path / "runs" / "small"
    assert (process.returncode, err) == (130, f"step abandoned; go on with: steerctl train --resume {run}\n")
    assert [line["step"] for line in metrics(run)] == [1]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named_in_one_line_with_the_way_on(tmp_path, rank):
    process = start(write_spec(tmp_path, steps=400), "engine.ranks=2")
    await_line(process, "step 1/")
    ranks = {child.environ()["RANK"]: child for child in psutil.Process(process.pid).children()}
    ranks[str(rank)].kill()
    _, err = process.communicate(timeout=120)
    run = tmp_path / "runs" / "small"
    said = f"rank {rank} of 2 was killed (signal 9, often out of memory); go on with: steerctl train --resume {run}\n"
    assert (process.returncode, err) == (137, said)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in ranks.values())


def test_a_checkpoint_that_cannot_begin_ends_all_ranks_with_one_line(tmp_path):
    process = start(write_spec(tmp_path, steps=400, checkpoint={"every": 3}), "engine.ranks=2")
    await_line(process, "step 0/")
    run = tmp_path / "runs" / "small"
    (run / "checkpoints").write_text("in the way")
    started = time.monotonic()
    _, err = process.communicate(timeout=120)
    assert time.monotonic() - started < 100
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith(f"{run}/checkpoints: cannot write: File exists")
    assert lines[0].endswith(f"go on with: steerctl train --resume {run}")
    assert process.returncode == 2  # the user can move it


def test_an_existing_run_is_not_overwritten(tmp_path):
    spec = write_spec(tmp_path, steps=1)
    assert train(spec, "--quiet").returncode == 0
    before = (tmp_path / "runs/small/metrics.jsonl").read_bytes()
    done = train(spec, "--quiet")
    assert done.returncode == 2
    assert "--overwrite" in one_line(done)
    assert (tmp_path / "runs/small/metrics.jsonl").read_bytes() == before
    assert train(spec, "--quiet", "--overwrite").returncode == 0


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=34m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here (needs root)")
    try:
        spec = write_spec(
            tmp_path, output=str(disk / "runs"), steps=400, checkpoint={"every": 1, "keep": 400, "export": False}
        )
        done = train(spec, "--quiet")
        assert done.returncode == 1, done.stderr
        assert "No space left" in one_line(done)
        steps = [int(path.name[5:]) for path in (disk / "runs/small/checkpoints").glob("step_*")]
        assert steps
        assert (disk / "runs/small/checkpoints/latest").read_text().strip() == f"step_{max(steps):06d}"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_processes_cannot_write_one_run(tmp_path):
    spec, run = write_spec(tmp_path, steps=50), tmp_path / "runs" / "small"
    first = start(spec)
    try:
        for line in first.stdout:
            if line.startswith("step 1/"):
                break
        second = train("--resume", run)
        assert second.returncode == 2
        assert "is being written by process" in one_line(second)
    finally:
        first.kill()
        first.communicate()


def test_help_needs_no_gpu_no_torch_and_no_repository(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "steerctl", "train", "--help"],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--resume" in done.stdout
