"""Reading run folders, damaged ones too."""

import pytest

from steerctl.errors import RunFolderError
from steerctl.store.folder import RunFolder
from steerctl.store.record import RunRecord, find_runs, resolve
from steerctl.store.rollouts import RolloutTable


def test_tables_by_step(run):
    for step in (3, 12, 1234567):
        run.write_rollouts(step, RolloutTable.of([]))
    run.write_validation(0, RolloutTable.of([]))
    record = RunRecord(run.path)
    assert record.rollout_steps() == [3, 12, 1234567]
    assert record.validation_steps() == [0]
    assert len(record.read_validation(0)) == 0


def test_runs_are_found_and_nothing_else(run):
    parent = run.path.parent
    (parent / "notes").mkdir()
    (parent / "file").write_text("x")
    assert find_runs(parent) == [run.path]
    assert find_runs(parent / "nowhere") == []
    assert resolve(parent / "latest") == run.path


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "dancing", "step": 1}'])
def test_a_strange_status_makes_no_run_folder(run, text):
    (run.path / "status.json").write_text(text)
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunRecord(run.path)


def test_a_status_without_a_step_is_named(run):
    (run.path / "status.json").write_text('{"state": "failed"}')
    with pytest.raises(RunFolderError, match=r"status\.json: not a run's status"):
        _ = RunRecord(run.path).status


def test_a_damaged_environment_is_named(run):
    (run.path / "environment.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"environment\.json: not JSON"):
        _ = RunFolder.read(run.path).environment
