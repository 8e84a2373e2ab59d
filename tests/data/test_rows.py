"""Files that cannot be used give one line: which file, which column, what was found, what was expected."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steerctl.data._paths import is_file_path
from steerctl.data._rows import read_rows
from steerctl.errors import DataError

GOOD = {
    "prompt": [{"role": "user", "content": "x"}],
    "reward_model": {"ground_truth": "1"},
    "data_source": "s",
}


def message(path):
    with pytest.raises(DataError) as caught:
        list(read_rows(str(path), "train"))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


def written(tmp_path, **columns):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([{**GOOD, **columns}]), path)
    return path


def test_a_good_row_has_only_the_known_columns(tmp_path):
    assert list(read_rows(str(written(tmp_path, ability="MATH")), "train")) == [GOOD]


def test_large_and_dictionary_text_is_text(tmp_path):
    table = pa.Table.from_pylist([GOOD])
    table = table.set_column(2, "data_source", table["data_source"].dictionary_encode())
    pq.write_table(table, tmp_path / "x.parquet")
    assert list(read_rows(str(tmp_path / "x.parquet"), "train")) == [GOOD]


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("prompt", "text", "column prompt is string, expected a list of {role, content}"),
        ("prompt", [{"role": "user", "text": "x"}], "column prompt is list<"),
        ("reward_model", {"ground_truth": 3}, "column reward_model is struct<ground_truth: int64>"),
        ("data_source", 3, "column data_source is int64, expected text"),
    ],
)
def test_a_column_of_another_type(tmp_path, column, value, found):
    assert found in message(written(tmp_path, **{column: value}))


def test_a_missing_column_names_what_there_is(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([{"question": "x", "answer": "1"}]), path)
    assert "column prompt is missing (expected a list of {role, content}; found question, answer)" in message(path)


def test_unreadable_files(tmp_path):
    path = tmp_path / "x.parquet"
    assert "no such file" in message(path)
    path.write_bytes(b"")
    assert "the file is empty" in message(path)
    path.write_bytes(b"PAR1 but not really" * 10)
    assert "cannot be read as parquet" in message(path)
    whole = written(tmp_path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as parquet" in message(path)
    assert "is a folder" in message(tmp_path)


def test_json_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": []}\n\n{"broken\n')
    assert "x.jsonl:3: not a line of JSON" in message(path)
    path.write_text("[1]\n")
    assert "x.jsonl:1: found list, expected an object" in message(path)
    path.write_text('{"prompt": [], "question": 1}\n')
    assert "column reward_model is missing" in message(path)
    path.write_bytes(b'{"prompt": "\xff"}\n')
    assert "cannot be read as JSON lines" in message(path)
    path.write_text("[" * 100_000)
    assert "not a line of JSON" in message(path)


def test_what_is_a_file():
    assert not is_file_path("BytedTsinghua-SIA/DAPO-Math-17k")
    for path in ("a.parquet", "./a", "../a/b", "/a/b", "~/a", "a/b/c", "a/b.jsonl", "name"):
        assert is_file_path(path)


def test_the_hub_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'steerctl[hub]'" in message("owner/name")


def test_rows_from_the_hub_library(monkeypatch):
    """Its own Dataset object; only the download is replaced."""
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(path, split):
        asked.append((path, split))
        return datasets.Dataset.from_list([{**GOOD, "ability": "MATH"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(read_rows("owner/name", "test")) == [GOOD]
    assert asked == [("owner/name", "test")]


def test_the_hub_offline_is_one_line():
    pytest.importorskip("datasets")
    code = (
        "from steerctl.data._rows import read_rows\n"
        "try: list(read_rows('owner/no-such-data-set', 'train'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=True)
    assert done.stdout.startswith("DataError owner/no-such-data-set: cannot be loaded from the Hugging Face hub: ")
    assert done.stdout.count("\n") == 1
