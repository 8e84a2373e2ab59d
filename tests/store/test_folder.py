"""The run folder: created whole, never overwritten unasked, resumed from its newest checkpoint, one writer."""

import json
import shutil
import subprocess
import sys

import pytest

from steerctl.errors import RunFolderError
from steerctl.store.folder import RunFolder
from steerctl.store.record import find_runs

ENVIRONMENT = {"run_id": "abc"}
SPEC = '{"name": "toy", "steps": 10}'


def create(path, **settings):
    return RunFolder.create(path, SPEC, environment=ENVIRONMENT, **settings)


def write_weights(folder):
    (folder / "weights").write_text("w")


def train(run, steps, checkpoints=()):
    for step in steps:
        run.append_metrics(step, {"reward/mean": step / 3})
        if step in checkpoints:
            run.save_checkpoint(step, write_weights, {"cursor": step * 8}, keep=2)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_create_writes_the_contract(tmp_path):
    with create(tmp_path / "out" / "toy", spec_yaml="name: toy\n") as run:
        assert names(run.path) == ["environment.json", "lock", "spec.json", "spec.yaml", "status.json"]
        assert names(tmp_path / "out") == ["latest", "toy"]
        assert (tmp_path / "out" / "latest").resolve() == run.path.resolve()
        assert json.loads(run.spec_json)["name"] == "toy"
        assert run.environment == ENVIRONMENT
        assert (run.status.state, run.status.step) == ("running", 0)
        run.set_status("failed", 3, "step 4, update 1: loss is NaN")
        assert RunFolder.read(tmp_path / "out" / "latest").status.error == "step 4, update 1: loss is NaN"


def test_never_overwritten_unasked(tmp_path):
    path = tmp_path / "toy"
    with create(path) as run:
        train(run, [1])
    with pytest.raises(RunFolderError, match=r"--resume .*--overwrite"):
        create(path)
    assert RunFolder.read(path).read_metrics()
    with create(path, overwrite=True) as run:
        assert run.read_metrics() == []
    assert names(tmp_path) == ["latest", "toy"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_run_folder_stays(tmp_path, overwrite):
    precious = tmp_path / "toy" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("x")
    (precious.parent / "spec.json").write_text("{}")
    with pytest.raises(RunFolderError, match="not a run folder"):
        create(precious.parent, overwrite=overwrite)
    assert precious.read_text() == "x"
    assert names(tmp_path) == ["toy"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "toy").mkdir()
    create(tmp_path / "toy").close()
    assert find_runs(tmp_path) == [tmp_path / "toy"]


def test_a_run_cannot_be_called_latest(tmp_path):
    with pytest.raises(RunFolderError, match="latest"):
        create(tmp_path / "latest")


def test_resume_returns_to_the_newest_checkpoint(tmp_path):
    path = tmp_path / "toy"
    with create(path) as run:
        train(run, range(1, 8), checkpoints=(2, 4, 6))
        (path / "metrics.jsonl").open("a").write('{"step": 8, "rewa')
        (path / "rollouts").mkdir()
        for step in (5, 6, 7):
            (path / "rollouts" / f"step_{step:06d}.parquet").write_text("x")
        (path / "rollouts" / ".tmp-1-step_000008.parquet").write_text("x")
    with RunFolder.resume(path) as run:
        found = run.latest_checkpoint()
        assert (found.step, found.state["cursor"]) == (6, 48)
        assert [line["step"] for line in run.read_metrics()] == [1, 2, 3, 4, 5, 6]
        assert run.read_metrics()[4]["reward/mean"] == 5 / 3
        assert run.rollout_steps() == [5, 6]
        assert names(path / "rollouts") == ["step_000005.parquet", "step_000006.parquet"]
        assert names(path / "checkpoints") == ["latest", "step_000004", "step_000006"]
        assert run.status.state == "running"


def test_resume_without_a_checkpoint_starts_at_zero(tmp_path):
    with create(tmp_path / "toy") as run:
        train(run, [0, 1, 2])
    with RunFolder.resume(tmp_path / "latest") as run:
        assert run.latest_checkpoint() is None
        assert run.read_metrics() == []


def damage(run, *steps):
    for step in steps:
        (run / "checkpoints" / f"step_{step:06d}" / "weights").write_text("x")


def test_resume_passes_over_a_damaged_checkpoint_and_names_it(tmp_path):
    with create(tmp_path / "toy") as run:
        train(run, range(1, 8), checkpoints=(4, 6))
    damage(run.path, 6)
    with RunFolder.resume(run.path) as run:
        assert run.damaged == ("step_000006 (weights has changed)",)
        assert run.latest_checkpoint().step == 4
        assert [line["step"] for line in run.read_metrics()] == [1, 2, 3, 4]
        assert names(run.path / "checkpoints") == ["latest", "step_000004"]


def test_without_a_good_checkpoint_nothing_is_changed_and_the_way_out_is_named(tmp_path):
    with create(tmp_path / "toy") as run:
        train(run, range(1, 8), checkpoints=(4, 6))
    damage(run.path, 4, 6)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(RunFolderError, match=r"step_000006 .*step_000004 .*; put them back .* or remove .*/check"):
        RunFolder.resume(run.path)
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before
    shutil.rmtree(run.path / "checkpoints")  # as the line advises
    with RunFolder.resume(run.path) as run:
        assert run.read_metrics() == []


def test_a_retracted_run_leaves_no_trace(tmp_path):
    create(tmp_path / "old").close()
    before = names(tmp_path)
    run = create(tmp_path / "new")
    assert (tmp_path / "latest").resolve().name == "new"
    run.retract()
    assert names(tmp_path) == before
    assert (tmp_path / "latest").resolve().name == "old"


def test_the_first_run_retracted_takes_the_pointer_along(tmp_path):
    create(tmp_path / "new").retract()
    assert names(tmp_path) == []


def test_retracting_leaves_a_pointer_that_has_moved_on(tmp_path):
    run = create(tmp_path / "new")
    create(tmp_path / "other").close()
    run.retract()
    assert (tmp_path / "latest").resolve().name == "other"


def test_a_resumed_run_is_not_retracted(tmp_path):
    create(tmp_path / "toy").close()
    with RunFolder.resume(tmp_path / "toy") as run:
        run.retract()
        assert run.path.is_dir()


def test_what_would_be_refused_is_found_before(tmp_path):
    RunFolder.require_free(tmp_path / "new", resume=False)
    assert names(tmp_path) == []
    with pytest.raises(RunFolderError, match="does not exist"):
        RunFolder.require_free(tmp_path / "new", resume=True)
    with create(tmp_path / "toy") as run:
        train(run, [1])
        with pytest.raises(RunFolderError, match="is being written by process"):
            RunFolder.require_free(run.path, resume=True)
    RunFolder.require_free(tmp_path / "latest", resume=True)
    with pytest.raises(RunFolderError, match="--overwrite"):
        RunFolder.require_free(run.path, resume=False)
    RunFolder.require_free(run.path, resume=False, overwrite=True)


def test_resume_what_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        RunFolder.resume(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder.resume(tmp_path)


def test_export_replaces_the_model(run):
    run.save_model(lambda folder: (folder / "config.json").write_text("1"))
    run.save_model(lambda folder: (folder / "config.json").write_text("2"))
    assert (run.model / "config.json").read_text() == "2"

    def fail(folder):
        (folder / "config.json").write_text("3")
        raise RuntimeError("the engine died")

    with pytest.raises(RuntimeError):
        run.save_model(fail)
    assert (run.model / "config.json").read_text() == "2"
    assert not [name for name in names(run.path) if name.startswith(".")]


def test_store_needs_no_torch():
    code = "import sys, steerctl.store.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
