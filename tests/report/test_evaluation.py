"""The table of an evaluation."""

from __future__ import annotations

import io

from rich.console import Console

from steerctl.report.evaluation import footnotes, result_tables

BAR = {"low": 0.1234, "high": 0.5, "error": 0.1, "method": "t", "units": 30}
NONE = {"low": None, "high": None, "error": None, "method": "none", "units": 30}
BARS = {"intervals": {"questions like these": BAR, "these questions": NONE}}
AIME = {
    "questions": 30, "samples": 4, "accuracy": {"value": 0.3, **BARS},
    "pass_at": {"1": {"value": 0.3}, "4": {"value": 0.6}}, "majority_at": {"4": {"value": 0.4}},
    "no_answer": 0.05, "truncated": 0.1, "length": {"mean": 1234.5, "max": 2000}, "grader_timeouts": 2,
    "grader_errors": 1, "decided_by": {"integers": 0.9, "no box": 0.05, "parser": 0.03, "numbers": 0.02},
    "overlap": {"questions": 3, "excluded": False},
}  # fmt: skip
CODE = {**AIME, "pass_at": {}, "majority_at": {}, "grader_errors": 0, "overlap": {"questions": 0, "excluded": False}}


def printed(result, width=80):
    out = io.StringIO()
    console = Console(file=out, width=width)
    for table in result_tables(result):
        console.print(table)
    return out.getvalue()


def test_scores_with_both_intervals_fit_eighty_columns() -> None:
    text = printed({"benchmarks": {"aime24": AIME, "humaneval_plus": CODE}, "macro": {"value": 0.3, **BARS}})
    lines = text.splitlines()
    assert lines[1].split() == ["aime24", "*", "30×4", "30.0", "[12.3,", "50.0]", "unknown", "60.0", "40.0"]
    assert lines[2].split()[-2:] == ["–", "–"]
    assert lines[3].split()[:2] == ["mean", "30.0"]
    assert "integers 90.0, no box 5.0, parser 3.0" in " ".join(text.split())
    assert "…" not in text


def test_what_a_reader_must_know_is_said() -> None:
    notes = footnotes({"benchmarks": {"aime24": AIME, "humaneval_plus": CODE}})
    assert "* aime24: 3 questions are in the training data, still counted" in notes
    assert "aime24: the grader failed on 1 responses" in notes
    assert not [note for note in notes if "humaneval" in note]
