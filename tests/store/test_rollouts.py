"""Rollout tables: what is written is read, whatever a policy said."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from steerctl.errors import RunFolderError
from steerctl.store.rollouts import RolloutTable, filled, read_rollouts, token_rows, write_rollouts
from steerctl.types import Message, Problem, Rollout, RolloutGroup, TokenBatch, Verdict


def group(texts, lengths):
    problem = Problem("arithmetic/1", (Message("system", "Be brief."), Message("user", "1+1?")), "2", "arithmetic")
    rollouts = tuple(
        Rollout(np.arange(n, dtype=np.int32), -np.arange(n, dtype=np.float32), text, "stop", 2**63 + n, 4)
        for text, n in zip(texts, lengths, strict=True)
    )
    verdicts = tuple(Verdict(1.0, "2", "equal") if n else Verdict(0.0, None, "empty", "no_answer") for n in lengths)
    return RolloutGroup(problem, (5, 6), rollouts, verdicts, tuple(verdict.value for verdict in verdicts))


def test_round_trip(tmp_path):
    entropy = [np.array([0.5, 0.25], np.float32), np.zeros(0, np.float32), np.array([1, 2, 3], np.float32)]
    groups = [group(["two", ""], (2, 0)), group(["\ud800 ✓\x00"], (3,))]
    table = RolloutTable.of(groups, advantages=[1.0, -1.0, 0.5], tokens={"entropy": entropy})
    path = tmp_path / "step_000001.parquet"
    write_rollouts(path, 1, table)
    got = read_rollouts(path)
    assert got.problem_id == ["arithmetic/1"] * 3
    assert got.sample == [0, 1, 0]
    assert got.prompt[0] == "Be brief.\n1+1?"
    assert [ids.tolist() for ids in got.token_ids] == [[0, 1], [], [0, 1, 2]]
    assert got.text == ["two", "", "? ✓\x00"]
    assert got.answer == ["2", None, "2"]
    assert got.status == ["ok", "no_answer", "ok"]
    assert got.advantage == [1.0, -1.0, 0.5]
    assert got.seed == [2**63 + 2, 2**63, 2**63 + 3]
    assert [row.tolist() for row in got.tokens["entropy"]] == [row.tolist() for row in entropy]
    assert got.tokens["rollout_logprobs"][2].dtype == np.float32
    stored = pq.ParquetFile(path)
    assert stored.metadata.row_group(0).column(0).compression == "ZSTD"
    assert stored.schema_arrow.names[0] == "step"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_no_advantages_and_no_rows(tmp_path):
    write_rollouts(tmp_path / "a", 0, RolloutTable.of([group(["two"], (2,))]))
    assert np.isnan(read_rollouts(tmp_path / "a").advantage[0])
    write_rollouts(tmp_path / "b", 0, RolloutTable.of([]))
    assert len(read_rollouts(tmp_path / "b")) == 0


def test_columns_that_do_not_fit():
    with pytest.raises(ValueError, match="advantage has 2 rows, not 1"):
        RolloutTable.of([group(["two"], (2,))], advantages=[1.0, 2.0])
    with pytest.raises(ValueError, match="entropy does not fit"):
        RolloutTable.of([group(["two"], (2,))], tokens={"entropy": [np.zeros(3, np.float32)]})


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "x.parquet").write_text("x")
    for path in (tmp_path / "x.parquet", tmp_path / "missing.parquet"):
        with pytest.raises(RunFolderError, match="not a table of rollouts"):
            read_rollouts(path)


def test_token_rows_of_padded_batches_and_ranks():
    mask = torch.tensor([[False, True, True, True], [True, True, False, False], [False, False, False, False]])
    values = torch.arange(12.0).reshape(3, 4)
    ids, zeros = torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, 4)
    batch = TokenBatch(ids, ids, mask, zeros, zeros, torch.tensor([2, 0, -1]), 5, 2)
    rows = token_rows([(batch, values)], rows=4)
    assert [row.tolist() for row in rows] == [[4, 5], [], [1, 2, 3], []]
    other = [np.zeros(0, np.float32)] * 3 + [np.ones(1, np.float32)]
    assert [row.tolist() for row in filled([rows, other])] == [[4, 5], [], [1, 2, 3], [1]]
