"""CSV, Markdown and LaTeX."""

import csv

from steerctl.report.page.files import latex, markdown, method_rows, write_tables
from steerctl.report.page.methods import group
from steerctl.report.page.report import Asked, make_report
from tests.report.page.runs import write_run


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_of_every_method_is_in_the_csv(report, tmp_path):
    assert [path.name for path in write_tables(report, tmp_path / "tables")] == [
        "methods.csv", "methods.md", "methods.tex", "runs.csv", "cost.csv",
    ]  # fmt: skip
    rows = read(tmp_path / "tables" / "methods.csv")
    row = next(row for row in rows if (row["metric"], row["at"], row["method"]) == ("entropy kept", "last", "steer"))
    found = report.kept.found["steer"]
    assert float(row["difference"]) == found.difference.value
    assert float(row["p_holm"]) == found.p_adjusted
    assert row["finding"] == "higher"
    assert row["pairs"] == "4"
    runs = read(tmp_path / "tables" / "runs.csv")
    assert len(runs) == 12
    assert float(runs[0]["entropy kept"]) == report.kept.values["grpo"][1]
    assert read(tmp_path / "tables" / "cost.csv")[0]["seconds of update"] == "10.0"


def test_markdown_and_latex_hold_the_same_table(report):
    line = next(line for line in markdown(report).splitlines() if line.startswith("| wide |"))
    assert line.count("|") == 10
    assert "no detectable difference" in line
    text = latex(report)
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == len(report.numbers)
    row = next(line for line in text.splitlines() if line.startswith("wide &"))
    assert row.count("&") == 8
    assert row.endswith(r"\\")


def test_signs_that_mean_something_are_escaped(tmp_path):
    records = [write_run(tmp_path, "grpo", 1), write_run(tmp_path, "steer", 1, name="a_b|50%&$x-seed1")]
    report = make_report(group(records), Asked())
    assert r"a\_b\|50%&$x" in markdown(report)
    assert r"a\_b|50\%\&\$x &" in latex(report)
    assert {row["method"] for row in method_rows(report)} == {"grpo", "a_b|50%&$x"}
