"""Checkpoints: whole or absent, pruned from the old end, never the newest whole one."""

import json

import pytest

from steerctl.store.checkpoints import Checkpoints


def save(checkpoints, step, keep=2):
    folder = checkpoints.begin(step)
    (folder / "rank0").write_text(str(step))
    return checkpoints.commit(step, {"cursor": step}, keep)


def names(checkpoints):
    return sorted(entry.name for entry in checkpoints.folder.iterdir())


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_the_newest_few_are_kept(checkpoints):
    for step in (1, 2, 3, 10):
        assert save(checkpoints, step).path.name == f"step_{step:06d}"
    assert names(checkpoints) == ["latest", "step_000003", "step_000010"]
    assert (checkpoints.folder / "latest").read_text() == "step_000010\n"
    assert checkpoints.latest().state == {"cursor": 10, "step": 10}


def test_an_unfinished_one_is_not_seen_and_is_swept(checkpoints):
    save(checkpoints, 1)
    (checkpoints.begin(2) / "rank0").write_text("half")
    assert checkpoints.latest().step == 1
    save(checkpoints, 3)
    assert names(checkpoints) == ["latest", "step_000001", "step_000003"]


@pytest.mark.parametrize("state", [None, "{", "[]", json.dumps({"step": 1})])
def test_a_damaged_one_is_passed_over(checkpoints, state):
    save(checkpoints, 1)
    path = save(checkpoints, 2).path / "state.json"
    path.unlink() if state is None else path.write_text(state)
    assert checkpoints.latest().step == 1
    checkpoints.drop_after(1)
    assert names(checkpoints) == ["latest", "step_000001"]
    assert (checkpoints.folder / "latest").read_text() == "step_000001\n"


def test_the_same_step_again_replaces_it(checkpoints):
    save(checkpoints, 1)
    (checkpoints.begin(1) / "rank0").write_text("again")
    assert (checkpoints.commit(1, {}, keep=1).path / "rank0").read_text() == "again"


def test_none_yet(checkpoints):
    assert checkpoints.latest() is None
    checkpoints.drop_after(-1)
    checkpoints.abandon()
