"""The parts of the page that are words and tables."""

import json
import re

from steerctl.report.page.methods import group
from steerctl.report.page.report import Asked, make_report
from steerctl.report.page.sections import cost_table, lead, number_table, one_method_table, reading_notes, runs_table
from tests.report.page.runs import write_run


def cells(html):
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", html)
    ]


def test_a_row_per_method_with_its_finding(report):
    head, grpo, steer, wide = cells(number_table(report, report.kept))
    assert head == [
        "method", "mean [95%]", "seeds", "difference to baseline [95%]", "", "p, Holm", "effect g",
        "detectable alone", "finding",
    ]  # fmt: skip
    assert grpo[3] == "baseline"
    found = report.kept.found["steer"]
    assert steer[3].startswith(f"+{found.difference.value:.3f}")
    assert steer[-1] == "higher"
    assert wide[2] == "4"


def test_the_words_at_the_top(report):
    text = lead(report)
    assert "3 methods, 12 runs, 4 seeds" in text
    assert "no detectable difference" in text
    assert "against grpo" in text


def test_who_ends_worse_than_before_training(tmp_path):
    records = [write_run(tmp_path, method, seed) for method in ("grpo", "steer") for seed in (1, 2)]
    asked = Asked(metric="validation/accuracy/mean")
    assert "Worse at the end" not in lead(make_report(group(records), asked))
    for record in records[2:]:
        lines = [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]
        lines[-1]["validation/accuracy/mean"] = 0.01
        (record.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = lead(make_report(group(records), asked))
    assert "Before training it was 0.200. <strong>Worse at the end than before</strong>: steer." in said


def test_cost_and_runs(report):
    assert cells(cost_table(report))[2][1:7] == ["4", "10", "1,000", "20 s", "1.00 ×", "50"]
    first = cells(runs_table(report))[1]
    assert first[0].endswith("grpo-seed1")
    assert first[1:4] == ["finished", "1", "10"]


def test_one_method_alone(tmp_path):
    records = [write_run(tmp_path, "grpo", seed) for seed in (1, 2)]
    text = one_method_table(make_report(group(records), Asked()))
    assert "mean of the last 5 steps" in text
    assert "[" in text
    assert "from first to last" not in text


def test_how_to_read_it(report):
    text = reading_notes(report)
    assert "only finished runs count" in text
    assert "cannot give less than p = 0.062 with 4 pairs" in text
