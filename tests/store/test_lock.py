"""One writer per run, whatever becomes of its process."""

import multiprocessing
import os

import pytest

from steerctl.errors import RunFolderError
from steerctl.store.folder import RunFolder
from steerctl.store.lock import Lock, is_locked


def create(path, **settings):
    return RunFolder.create(path, "{}", environment={}, **settings)


def test_one_writer(tmp_path):
    run = create(tmp_path / "toy")
    for attempt in (RunFolder.resume, lambda path: create(path, overwrite=True)):
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} on "):
            attempt(tmp_path / "toy")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["latest", "toy"]
    assert RunFolder.read(tmp_path / "toy").status.state == "running"
    run.close()
    assert RunFolder.read(tmp_path / "toy").status.state == "interrupted"
    RunFolder.resume(tmp_path / "toy").close()


def test_a_child_does_not_keep_the_lock(tmp_path):
    run = create(tmp_path / "toy")
    fork = multiprocessing.get_context("fork")
    started, release = fork.Event(), fork.Event()
    child = fork.Process(target=lambda: (started.set(), release.wait()))
    child.start()
    started.wait()
    try:
        assert is_locked(tmp_path / "toy" / "lock")
        run.close()
        assert not is_locked(tmp_path / "toy" / "lock")
        RunFolder.resume(tmp_path / "toy").close()
    finally:
        release.set()
        child.join()


def test_a_file_without_a_holder_is_free(tmp_path):
    assert not is_locked(tmp_path / "lock")
    lock = Lock(tmp_path / "lock")
    assert is_locked(tmp_path / "lock")
    lock.release()
    lock.release()
    assert not is_locked(tmp_path / "lock")
