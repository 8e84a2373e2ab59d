"""Full disks, read-only folders, and writers killed at any moment."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from steerctl.errors import PathError, StorageError
from steerctl.store.atomic import append_line, storage_errors, write_text
from steerctl.store.folder import RunFolder

WRITER = """
import sys
from pathlib import Path
from steerctl.store.folder import RunFolder
from steerctl.store.rollouts import RolloutTable
path = Path(sys.argv[1])
run = RunFolder.resume(path) if path.exists() else RunFolder.create(path, '{}', environment={})
table = RolloutTable.of([])
def weights(folder):
    for part in range(4):
        (folder / str(part)).write_bytes(bytes([step % 251]) * 20000)
found = run.latest_checkpoint()
step = found.step if found else 0
while True:
    print(step, flush=True)
    step += 1
    run.append_metrics(step, {'reward/mean': step / 7})
    run.write_rollouts(step, table)
    run.set_status('running', step)
    if step % 3 == 0:
        run.save_checkpoint(step, weights, {'cursor': step}, keep=2)
"""


@pytest.fixture(scope="module")
def tiny_disk(tmp_path_factory):
    """A file system of one megabyte."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(tiny_disk):
    yield tiny_disk
    for entry in tiny_disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def fill(disk):
    with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_full_disk_leaves_what_was_there(disk):
    with RunFolder.create(disk / "toy", "{}", environment={}) as run:
        run.append_metrics(1, {"reward/mean": 1.0})
        run.save_checkpoint(1, lambda folder: (folder / "w").write_text("w"), {}, keep=1)
        before = contents(run.path)
        fill(disk)
        writes = {
            "metrics.jsonl": lambda: run.append_metrics(2, {"reward/mean": 2.0, "x" * 5000: 1.0}),
            "status.json": lambda: run.set_status("running", 2),
            "step_000002": lambda: run.save_checkpoint(2, lambda f: (f / "w").write_text("w" * 9000), {}, keep=1),
            "torch": lambda: run.save_checkpoint(2, lambda f: torch.save(torch.zeros(9000), f / "torch"), {}, keep=1),
            "safetensors": lambda: run.save_model(lambda f: save_file({"w": torch.zeros(9000)}, f / "safetensors")),
        }
        for name, write in writes.items():
            with pytest.raises(StorageError, match=r"cannot write: .*free some space") as caught:
                write()
            assert "\n" not in str(caught.value), name
            assert str(disk) in str(caught.value)
            assert contents(run.path) == before, name
        assert [line["step"] for line in run.read_metrics()] == [1]
        assert run.latest_checkpoint().step == 1
        assert run.status.step == 0


def test_a_full_disk_before_the_first_step(disk):
    fill(disk)
    with pytest.raises(StorageError):
        RunFolder.create(disk / "toy", "x" * 10000, environment={})
    assert contents(disk) == ["ballast"]


def test_a_file_size_limit(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_line(path, "short")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"metrics\.jsonl"):
            append_line(path, "x" * 2000)
        with pytest.raises(StorageError, match=r"spec\.json"):
            write_text(tmp_path / "spec.json", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "short\n"
    assert contents(tmp_path) == ["metrics.jsonl"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "runs").write_text("x")
    with pytest.raises(StorageError, match="toy: cannot write: "):
        RunFolder.create(tmp_path / "runs" / "toy", "{}", environment={})


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shape"), storage_errors(np):
        raise RuntimeError("wrong shape")


def test_killed_at_any_moment(tmp_path):
    """Ten kills: the folder is readable after each, and the next writer goes on from a whole checkpoint."""
    path, moments = tmp_path / "toy", random.Random(1)
    reached = 0
    for _ in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        for _ in range(moments.randint(1, 7)):
            writer.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        run = RunFolder.read(path)
        assert run.status.state == "interrupted"
        found = run.latest_checkpoint()
        step = found.step if found else 0
        assert step >= reached
        reached = step
        lines = run.read_metrics()
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
        assert len(lines) >= step
        for kept in run.rollout_steps():
            assert len(run.read_rollouts(kept)) == 0
        if found:
            parts = [(found.path / str(part)).read_bytes() for part in range(4)]
            assert parts == [bytes([step % 251]) * 20000] * 4
    assert reached >= 3
    with RunFolder.resume(path) as run:
        assert [line["step"] for line in run.read_metrics()] == list(range(1, reached + 1))
        assert not [name for name in contents(path) if ".tmp-" in name]


def test_a_path_that_cannot_be_is_the_user_s_to_mend(tmp_path):
    (tmp_path / "file").touch()
    for path, advice in (
        (tmp_path / "nowhere" / "x.json", "make its folder first"),
        (tmp_path / "file" / "x.json", "a part of this path is a file"),
        (tmp_path / ("x" * 300), "take a shorter name"),
    ):
        with pytest.raises(PathError, match=advice) as caught:
            write_text(path, "x")
        assert caught.value.exit_code == 2
        assert "see to the disk" not in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(PathError, match="name a file in it"):
        write_text(tmp_path / "folder", "x")
