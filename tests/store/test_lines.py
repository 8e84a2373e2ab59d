"""metrics.jsonl: exact, strict, and readable while it is written."""

import json
import math

import pytest

from steerctl.errors import RunFolderError
from steerctl.store.lines import append_metrics, keep_until, read_metrics


def test_numbers_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "metrics.jsonl"
    values = {"a/mean": 0.1 + 0.2, "b/mean": 1e-310, "c/count": 3.0, "d/mean": -0.0}
    append_metrics(path, 1, values)
    assert read_metrics(path) == [{"step": 1, **values}]
    assert math.copysign(1, read_metrics(path)[0]["d/mean"]) == -1


def test_not_finite_is_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, 1, {"a/mean": math.nan, "b/max": math.inf})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"step": 1, "a/mean": None, "b/max": None}
    assert math.isnan(read_metrics(path)[0]["b/max"])


def test_a_line_being_written_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, 1, {})
    path.open("a").write('{"step": 2, "x/me')
    assert [line["step"] for line in read_metrics(path)] == [1]
    keep_until(path, 5)
    assert path.read_text() == '{"step": 1}\n'


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl:2: "):
        read_metrics(path)


def test_no_file_is_no_metrics(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    keep_until(tmp_path / "metrics.jsonl", 3)


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"x": 1}', '{"step": Infinity}', '{"step": 1, "x": "y"}', "\xff"])
def test_a_damaged_line_says_where_and_what_to_do(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b'\n{"step": 3}\n')
    with pytest.raises(RunFolderError, match=r"metrics.jsonl:2: this line is not a step's metrics; .* delete it"):
        read_metrics(path)
