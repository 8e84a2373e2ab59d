"""Token tables on disk."""

import pyarrow as pa
import pytest

from steerctl.errors import PathError, RunFolderError
from steerctl.store.folder import RunFolder
from steerctl.store.tokens import keep_tokens, read_tokens, write_tokens

TABLE = pa.table({"step": pa.array([1, 1], pa.int32()), "influence": pa.array([None, 2.5], pa.float64())})


def test_round_trip_with_nulls(tmp_path):
    path = keep_tokens(tmp_path / "a" / "b", 12, TABLE)
    assert path == tmp_path / "a" / "b" / "step_000012.parquet"
    assert read_tokens(path).equals(TABLE)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_nothing_half_written_is_left(tmp_path):
    with pytest.raises(AttributeError):
        write_tokens(tmp_path / "x.parquet", "no table")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(PathError, match="something of that name is there"):
        keep_tokens(tmp_path / "file", 1, TABLE)


def test_what_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "x.parquet").write_text("x")
    for name in ("x.parquet", "nowhere.parquet"):
        with pytest.raises(RunFolderError, match=rf"^.*{name}: not a token table \([^\n]*\)$"):
            read_tokens(tmp_path / name)


def test_a_run_has_them_by_step_and_a_resumed_run_drops_later_ones(run):
    run.save_checkpoint(2, lambda folder: (folder / "weights").write_text("w"), {}, keep=1)
    for step in (1, 2, 3):
        run.write_probe(step, TABLE)
        keep_tokens(run.path / "analysis", step, TABLE)
    assert run.probe_steps() == run.analysis_steps() == [1, 2, 3]
    assert run.read_probe(3).equals(TABLE)
    assert run.read_analysis(1).equals(TABLE)
    run.close()
    with RunFolder.resume(run.path) as resumed:
        assert resumed.probe_steps() == resumed.analysis_steps() == [1, 2]
        assert [each.step for each in resumed.checkpoints()] == [2]
