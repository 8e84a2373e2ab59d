"""What is said and what is left, for every way to end and every moment; whole runs are in test_faults.py."""

from __future__ import annotations

import errno

import pytest

from steerctl.errors import DataError, EngineError, Interrupted, NonFiniteError, StorageError
from steerctl.run import interrupt
from steerctl.run.ending import Outlook, closing_error
from steerctl.run.interrupt import Abandoned, BrokenOff
from steerctl.store.folder import RunFolder


@pytest.fixture(autouse=True)
def no_signal_yet(monkeypatch):
    monkeypatch.setattr(interrupt, "_received", [])


def create(path, run_id="new"):
    return RunFolder.create(path, '{"name": "toy", "steps": 9}', environment={"run_id": run_id})


@pytest.fixture
def folder(tmp_path):
    with create(tmp_path / "toy") as run:
        yield run


def text(error, folder, step=0, state="running"):
    folder.set_status(state, step)
    return str(closing_error(error, folder))


def test_before_there_is_a_folder():
    error = closing_error(BrokenOff(), None)
    assert (str(error), error.exit_code) == ("interrupted; nothing was written", 130)
    mistake = DataError("x.parquet: no column prompt")
    assert closing_error(mistake, None) is mistake


@pytest.mark.parametrize("error", [BrokenOff(), Abandoned(), DataError("bad"), StorageError("full")])
def test_before_the_first_finished_step_nothing_is_kept_and_no_resuming_advised(folder, tmp_path, error):
    said = text(error, folder)
    assert "resume" not in said
    assert "step abandoned" not in said
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_fails_in_the_first_step_keeps_the_logs(folder):
    assert text(EngineError("server 0 did not start"), folder) == "server 0 did not start"
    assert (folder.status.state, folder.status.error) == ("failed", "server 0 did not start")
    assert "server 0 did not start" in folder.log.read_text()


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (Abandoned(), "step abandoned; go on with: steerctl train --resume ", 130),
        (BrokenOff(), "interrupted; go on with: steerctl train --resume ", 130),
        (Interrupted("stopped after step 3 of 9"), "stopped after step 3 of 9; go on with: steerctl train ", 130),
        (NonFiniteError("step 4"), "step 4; go on with: steerctl train --resume ", 1),
        (StorageError("disk full"), "disk full; go on with: steerctl train --resume ", 1),
        (DataError("bad"), "bad", 2),
    ],
)
def test_after_a_finished_step(folder, error, said, code):
    folder.set_status("running", 3)
    found = closing_error(error, folder)
    assert str(found).startswith(said)
    assert ("--resume" in str(found)) == (code != 2)
    assert found.exit_code == code
    assert folder.path.is_dir()
    assert folder.status.state == ("interrupted" if code == 130 else "failed")


def test_sigterm_is_143(folder, monkeypatch):
    monkeypatch.setattr(interrupt, "_received", [15])
    folder.set_status("running", 3)
    assert closing_error(Interrupted("stopped"), folder).exit_code == 143


def test_after_the_last_step_it_stays_finished(folder):
    assert text(BrokenOff(), folder, 9, "finished") == f"interrupted after the last step; {folder.path} is finished"
    assert folder.status.state == "finished"


def test_a_full_disk_in_a_bare_call_is_one_line(folder):
    said = text(OSError(errno.ENOSPC, "No space left on device", "/disk/x"), folder, 3)
    assert said.startswith("/disk/x: cannot write: No space left on device; free some space there; go on with: ")


def test_a_fault_of_ours_is_not_touched(folder):
    error = ZeroDivisionError()
    assert closing_error(error, folder) is error


def test_what_the_launcher_says(tmp_path):
    path = tmp_path / "toy"
    outlook = Outlook.of(path, resumed=False)
    assert outlook() == "nothing was written"
    with create(path) as run:
        assert outlook() == "no step was finished"
        run.set_status("running", 2)
    hint = f"go on with: steerctl train --resume {path}"
    assert outlook() == hint
    assert Outlook.of(path, resumed=False)() == "nothing was written"  # the old run is still there, untouched
    assert Outlook.of(path, resumed=True)() == hint
