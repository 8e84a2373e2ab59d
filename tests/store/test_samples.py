"""A file of rollouts in the making: whatever stops its writer, nothing is lost, doubled or mixed."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from steerctl.errors import RunFolderError, UserError
from steerctl.store.sample_rows import KINDS, read_tables
from steerctl.store.samples import SampleFile
from tests.store.test_sample_rows import rows

ORIGIN = {"experiment": {"seed": 1, "rollout": {"temperature": 0.7}}, "split": "train"}
OTHER = {"experiment": {"seed": 2, "rollout": {"temperature": 0.7}}, "split": "train"}


def part(file: SampleFile):
    return rows(file.positions, fingerprint=file.fingerprint)


def write_all(path, origin=ORIGIN, *, overwrite=False) -> None:
    with SampleFile(path, origin, overwrite=overwrite) as file:
        while file.positions < 6:
            file.add(part(file), 2)
        file.finish()


def content(path):
    return [table.to_pylist() for table in read_tables(path, list(KINDS))]


@pytest.fixture(params=["rollouts.parquet", "rollouts.jsonl"])
def path(request, tmp_path):
    return tmp_path / "new folder" / request.param


def test_parts_become_one_file_and_go(path) -> None:
    write_all(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    positions = [row["position"] for table in content(path) for row in table]
    assert positions == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    if path.suffix == ".parquet":
        assert json.loads(pq.read_schema(path).metadata[b"steerctl"]) == ORIGIN


def test_a_stopped_writer_is_gone_on_with_and_the_file_is_the_same(path, tmp_path) -> None:
    whole = tmp_path / f"whole{path.suffix}"
    write_all(whole)
    for _ in range(2):
        with SampleFile(path, ORIGIN) as file:
            file.add(part(file), 2)
            (file.parts / ".tmp-123-part_00000099_2.parquet").write_bytes(b"half a part")
    (path.parent / f".tmp-123-{path.name}").write_bytes(b"half a file")
    with SampleFile(path, ORIGIN) as file:
        assert file.positions == 4
    write_all(path)
    assert path.read_bytes() == whole.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_finished_file_is_complete_and_leftover_parts_go(path) -> None:
    write_all(path)
    before = path.stat().st_mtime_ns
    leftover = path.with_name(f"{path.name}.parts")
    leftover.mkdir()
    (leftover / "part_00000000_2.parquet").write_bytes(b"")
    with SampleFile(path, ORIGIN) as file:
        assert file.complete
    assert path.stat().st_mtime_ns == before
    assert not leftover.exists()


def test_another_origin_is_refused_and_named(path) -> None:
    with SampleFile(path, ORIGIN) as file:
        file.add(part(file), 2)
    with pytest.raises(RunFolderError, match=r"parts holds .*experiment\.seed: 1 there, 2 here.*--overwrite"):
        SampleFile(path, OTHER)
    write_all(path)
    named = r"experiment\.seed: 1 there, 2 here" if path.suffix == ".parquet" else "another experiment or model;"
    with pytest.raises(RunFolderError, match=named):
        SampleFile(path, OTHER)


def test_overwriting_keeps_the_old_file_until_the_new_one_is_whole(path) -> None:
    write_all(path)
    before = path.read_bytes()
    with SampleFile(path, OTHER, overwrite=True) as file:
        assert (file.complete, file.positions) == (False, 0)
        file.add(part(file), 2)
    assert path.read_bytes() == before
    with SampleFile(path, OTHER, overwrite=True) as file:
        assert file.positions == 2  # its own parts are gone on with
    write_all(path, OTHER, overwrite=True)
    assert path.read_bytes() != before
    with SampleFile(path, OTHER) as file:
        assert file.complete


def test_parts_of_another_origin_are_discarded_when_overwriting(path) -> None:
    with SampleFile(path, ORIGIN) as file:
        file.add(part(file), 2)
    with SampleFile(path, OTHER, overwrite=True) as file:
        assert file.positions == 0
    with pytest.raises(RunFolderError, match="another experiment"):
        SampleFile(path, ORIGIN)


def test_what_is_no_file_of_rollouts_stays_whatever_is_asked(path) -> None:
    path.parent.mkdir()
    path.write_text('{"question": "1+1?"}\n')
    for overwrite in (False, True):
        with pytest.raises(RunFolderError, match="no file of rollouts, so it stays"):
            SampleFile(path, ORIGIN, overwrite=overwrite)
    assert path.read_text() == '{"question": "1+1?"}\n'


def test_one_writer(path) -> None:
    with SampleFile(path, ORIGIN), pytest.raises(RunFolderError, match="is being written by process"):
        SampleFile(path, ORIGIN)


def test_a_missing_part_is_noticed(path) -> None:
    with SampleFile(path, ORIGIN) as file:
        for _ in range(3):
            file.add(part(file), 2)
        next(file.parts.glob("part_00000002*")).unlink()
    with pytest.raises(RunFolderError, match="position 2 is missing"):
        SampleFile(path, ORIGIN)


def test_other_endings_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match=r"\.parquet or \.jsonl"):
        SampleFile(tmp_path / "rollouts.csv", ORIGIN)
