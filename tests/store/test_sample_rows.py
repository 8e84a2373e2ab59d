"""Both formats hold the same rows, float32 to the last bit; what differs between two origins is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from steerctl.errors import DataError, RunFolderError
from steerctl.store.rollouts import RolloutTable
from steerctl.store.sample_rows import KINDS, differences, json_lines, read_origin, read_tables, sample_table
from tests.store.test_rollouts import group

CONSTANTS = {
    "temperature": 0.7, "top_p": 1.0, "top_k": 0, "engine": "embedded", "engine_version": "1", "model": "tiny",
    "model_hash": "ab", "chunk": 4, "generate_seconds": 0.5, "verify_seconds": 0.25, "fingerprint": "cd",
}  # fmt: skip


def rows(first: int = 4, **changes):
    rng = np.random.default_rng(first)
    groups = [group([f"one {first} ✓", "two\n"], (2, 3)), group(["", "\u2028"], (1, 5))]
    entropy = [rng.random(n).astype(np.float32) for n in (2, 3, 1, 5)]
    return sample_table(RolloutTable.of(groups, tokens={"entropy": entropy}), first, 2, {**CONSTANTS, **changes})


def test_columns_are_those_of_the_contract_in_their_order() -> None:
    table = rows()
    assert table.column_names == [name for name in KINDS if name != "old_logprobs"]
    assert [table.schema.field(name).type for name in table.column_names] == [KINDS[n] for n in table.column_names]
    assert table.column("position").to_pylist() == [4, 4, 5, 5]
    assert set(table.column("chunk").to_pylist()) == {4}


def test_json_lines_read_back_to_the_last_bit(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json_lines(rows())), encoding="utf-8")
    (back,) = read_tables(path, list(KINDS))
    assert back.equals(rows())
    assert [json.loads(line)["position"] for line in path.read_text().split("\n")[:-1]] == [4, 4, 5, 5]


def test_only_the_wanted_columns_are_read_and_absent_ones_left_out(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json_lines(rows())), encoding="utf-8")
    (table,) = read_tables(path, ["verdict", "old_logprobs"])
    assert table.column_names == ["verdict"]


@pytest.mark.parametrize("content", ["", "{}\n", "not json\n", '{"fingerprint": 3}\n', "[1]\n"])
def test_what_is_no_file_of_rollouts_says_so(tmp_path, content) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(content)
    with pytest.raises(RunFolderError, match="no file of rollouts, so it stays"):
        read_origin(path)


def test_an_unreadable_file_is_one_line(tmp_path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"broken\.parquet: cannot be read as parquet"):
        list(read_tables(path, ["verdict"]))


def test_differences_name_the_settings() -> None:
    one = {"rollout": {"temperature": 1.0, "top_p": 1.0}, "seed": 1}
    other = {"rollout": {"temperature": 0.8, "top_p": 1.0}, "seed": 1, "split": "train"}
    assert differences(one, other) == "rollout.temperature: 1.0 there, 0.8 here; split: absent there, train here"
    assert differences(one, {}, shown=1) == "rollout.temperature: 1.0 there, absent here; 2 more"
