"""Saved groups come back as they were, from both formats and from run folders, over the ends of parts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from steerctl.errors import DataError
from steerctl.store.folder import RunFolder
from steerctl.store.rollouts import RolloutTable
from steerctl.store.saved import SavedRollouts
from tests.store.test_rollouts import group
from tests.store.test_samples import write_all

SPEC = json.dumps({"name": "x", "rollout": {"temperature": 0.5}})


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "runs" / "one"
    with RunFolder.create(path, SPEC, environment={}) as folder:
        for step in (1, 2):
            groups = [group([f"a{step}{i}", f"b{step}{i}"], (step, i + 1)) for i in range(3)]
            folder.write_rollouts(step, RolloutTable.of(groups, [0.5] * 6))
            folder.append_metrics(step, {"groups/replaced/count": 4.0 * step})
    return path


@pytest.mark.parametrize("name", ["r.parquet", "r.jsonl"])
def test_a_file_comes_back_in_blocks_over_the_ends_of_parts(tmp_path, name) -> None:
    write_all(tmp_path / name)
    saved = SavedRollouts.open(tmp_path / name)
    assert (saved.groups, saved.group_size) == (6, 2)
    assert (saved.sampled is None) == name.endswith("jsonl")
    blocks = [saved.block(0, 3), saved.block(3, 6), saved.block(5, 9), saved.block(6, 7)]
    assert [len(block) for block in blocks] == [3, 3, 1, 0]
    texts = [rollout.text for block in blocks[:2] for each in block for rollout in each.rollouts]
    assert texts == [text for first in (0, 2, 4) for text in (f"one {first} ✓", "two\n", "", "\u2028")]


def test_groups_are_what_was_sampled(tmp_path, run) -> None:
    saved = SavedRollouts.open(run)
    assert (saved.groups, saved.group_size, saved.steps, saved.replaced) == (6, 2, (1, 2), {0: 4, 1: 8})
    assert saved.sampled["rollout"]["temperature"] == 0.5
    (got,) = saved.block(4, 5)
    expected = group(["a21", "b21"], (2, 2))
    assert got.prompt_ids == expected.prompt_ids
    assert got.verdicts == expected.verdicts
    assert (got.problem.id, got.problem.gold) == (expected.problem.id, expected.problem.gold)
    for own, theirs in zip(got.rollouts, expected.rollouts, strict=True):
        assert own.token_ids_T.tolist() == theirs.token_ids_T.tolist()
        assert own.token_ids_T.dtype == np.int32
        assert own.logprobs_T.tobytes() == theirs.logprobs_T.tobytes()
        assert own.logprobs_T.flags.writeable
        assert (own.text, own.finish, own.seed) == (theirs.text, theirs.finish, theirs.seed)
        assert own.weight_version == theirs.weight_version


def test_a_missing_or_wrong_column_is_named(tmp_path) -> None:
    path = tmp_path / "r.parquet"
    write_all(path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["rollout_logprobs"]), path)
    with pytest.raises(DataError, match="no column rollout_logprobs"):
        SavedRollouts.open(path)
    index = table.column_names.index("token_ids")
    pq.write_table(table.set_column(index, "token_ids", table.column("text")), path)
    with pytest.raises(DataError, match="column token_ids is string, expected list"):
        SavedRollouts.open(path)
    lines = tmp_path / "r.jsonl"
    lines.write_text('{"problem_id": "a", "sample": 0}\n')
    with pytest.raises(DataError, match="no column prompt"):
        SavedRollouts.open(lines)


def test_rows_that_are_no_groups_are_refused(tmp_path) -> None:
    path = tmp_path / "r.parquet"
    write_all(path)
    pq.write_table(pq.read_table(path).slice(0, 11), path)
    with pytest.raises(DataError, match="no groups of equal size"):
        SavedRollouts.open(path)


def test_what_is_not_there_is_one_line(tmp_path, run) -> None:
    with pytest.raises(DataError, match="no such file or run folder"):
        SavedRollouts.open(tmp_path / "nowhere.parquet")
    with pytest.raises(DataError, match="no run folder"):
        SavedRollouts.open(tmp_path)
    for step in (1, 2):
        (run / "rollouts" / f"step_{step:06d}.parquet").unlink()
    with pytest.raises(DataError, match=r"log\.rollouts_every=0"):
        SavedRollouts.open(run)
