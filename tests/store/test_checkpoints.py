"""Checkpoints: whole or absent, pruned from the old end, never the newest whole one."""

import json

import pytest

from steerctl.errors import StorageError
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


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "rank0 has changed": lambda folder: flip(folder / "rank0"),
    "rank0 has 1 bytes instead of 2": lambda folder: (folder / "rank0").write_text("1"),
    "rank0 is missing": lambda folder: (folder / "rank0").unlink(),
    "state.json is missing": lambda folder: (folder / "state.json").unlink(),
    "state.json cannot be read": lambda folder: (folder / "state.json").write_text("{"),
    "state.json is not of this step": lambda folder: (folder / "state.json").write_text("[]"),
    "state.json has changed": lambda folder: (folder / "state.json").write_text(
        (folder / "state.json").read_text().replace('"cursor": 20', '"cursor": 21')
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_was_not_written_so_is_found_and_the_one_before_taken(checkpoints, what):
    save(checkpoints, 10)
    DAMAGE[what](save(checkpoints, 20).path)
    found = checkpoints.search()
    assert found.checkpoint is not None
    assert (found.checkpoint.step, found.checkpoint.state) == (10, {"cursor": 10, "step": 10})
    assert found.damaged == (f"step_000020 ({what})",)


def test_an_undamaged_newest_one_is_taken(checkpoints):
    save(checkpoints, 10)
    save(checkpoints, 20)
    assert checkpoints.search().checkpoint == checkpoints.latest()
    assert checkpoints.search().damaged == ()


def test_all_damaged_is_not_the_same_as_none(checkpoints):
    assert (checkpoints.search().checkpoint, checkpoints.search().damaged) == (None, ())
    for step in (10, 20):
        flip(save(checkpoints, step).path / "rank0")
    found = checkpoints.search()
    assert found.checkpoint is None
    assert found.damaged == ("step_000020 (rank0 has changed)", "step_000010 (rank0 has changed)")


def test_files_in_folders_are_covered(checkpoints):
    folder = checkpoints.begin(1)
    (folder / "policy").mkdir()
    (folder / "policy" / "weights").write_bytes(bytes(100_000))
    flip(checkpoints.commit(1, {}, keep=1).path / "policy" / "weights")
    assert checkpoints.search().damaged == ("step_000001 (policy/weights has changed)",)


def test_a_checkpoint_of_an_early_version_has_no_hashes_and_is_taken(checkpoints):
    path = save(checkpoints, 1).path / "state.json"
    path.write_text(json.dumps({"step": 1, "cursor": 1}))
    assert checkpoints.search().checkpoint == checkpoints.latest()


def test_a_place_that_takes_no_checkpoint_is_one_line(checkpoints):
    checkpoints.folder.write_text("in the way")
    with pytest.raises(StorageError, match=r"checkpoints: cannot write: File exists"):
        checkpoints.begin(1)
