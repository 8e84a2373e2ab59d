"""The comparison by hand, and in every format."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from steerctl.errors import RunFolderError
from steerctl.report.compare import compare, footnotes, render
from steerctl.store.folder import RunFolder


def text_of(shown, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(shown)
    return console.file.getvalue()


def test_values_by_hand(pair):
    first, second = compare(pair).runs
    assert first.values["steps"] == 12
    assert first.values["reward_first"] == pytest.approx(0.03)
    assert first.values["reward_last"] == pytest.approx(0.10)
    assert first.values["entropy_before"] == pytest.approx(math.exp(-1 / 4))
    assert first.values["entropy_after"] == pytest.approx(math.exp(-3) / 2)
    assert second.values["entropy_kept"] == pytest.approx(math.exp(-11 / 40) / 2)
    assert first.values["clip_high"] == pytest.approx(0.005)
    assert first.values["validation_last"] == 0.75
    assert first.values["seconds"] == pytest.approx(18)
    assert first.values["weight"] is None


def test_differences_name_the_settings_that_matter(pair):
    assert compare(pair).differences == {
        "algorithm.interventions.0.kind": (None, "steer"),
        "algorithm.interventions.0.weight_min": (None, 0.6),
    }


@pytest.mark.parametrize("width", [60, 120])
def test_the_table(pair, width):
    text = text_of(render(compare(pair), "table"), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for expected in ("grpo", "steer", "reward, last", "0.100", "0.50%", "18"):
        assert expected in text
    assert "weight" not in text
    notes = footnotes(compare(pair))
    assert "5 steps at either end" in notes[0]
    assert f"grpo: {pair[0].path} (finished)" in notes
    assert "differs: algorithm.interventions.0: - | steer" in notes
    assert not any("weight_min" in note for note in notes)


def test_many_runs_are_rows(pair):
    rows = text_of(render(compare([*pair, *pair, *pair]), "table"), 80).splitlines()[-6:]
    assert [row.split()[0] for row in rows] == ["grpo", "steer"] * 3
    assert all(len(row.split()) == 9 for row in rows)
    assert "…" not in "".join(rows)


def test_markdown_csv_json(pair):
    comparison = compare(pair)
    markdown = render(comparison, "markdown").splitlines()
    assert markdown[0] == "| | grpo | steer |"
    assert len({line.count("|") for line in markdown[:10]}) == 1
    rows = list(csv.DictReader(io.StringIO(render(comparison, "csv"))))
    assert float(rows[1]["reward_last"]) == pytest.approx(0.1)
    assert rows[0]["weight"] == ""
    loaded = json.loads(render(comparison, "json"), parse_constant=pytest.fail)
    assert loaded["runs"][0]["entropy_before"] == pytest.approx(math.exp(-0.25))
    assert loaded["differences"]["algorithm.interventions.0.weight_min"] == [None, 0.6]


def test_a_run_without_a_step(tmp_path):
    RunFolder.create(tmp_path / "toy", "{}", environment={}).close()
    with pytest.raises(RunFolderError, match="no finished step"):
        compare([RunFolder.read(tmp_path / "toy")])
