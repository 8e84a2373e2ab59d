"""A benchmark's responses as numbers: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from steerctl.evaluation.summary import Measured, macro, summarise
from steerctl.store.evaluations import Responses


def responses(verdicts, answers=None, statuses=None, why="integers"):
    rows, columns = np.shape(verdicts)
    return Responses(
        ids=tuple(f"q{row}" for row in range(rows)),
        verdicts_PG=np.array(verdicts, float),
        answers=tuple(map(tuple, answers or [["1"] * columns] * rows)),
        whys=((why,) * columns,) * rows,
        statuses=tuple(map(tuple, statuses or [["ok"] * columns] * rows)),
        truncated_PG=np.zeros((rows, columns), bool),
        lengths_PG=np.full((rows, columns), 5),
    )


def spelled(answers):
    return [None if answer is None else int(answer) for answer in answers]


def test_accuracy_pass_and_majority_by_hand() -> None:
    answers = [["1", "1", "2", None], ["3", "4", "5", "6"]]
    found = summarise(Measured(responses([[1, 1, 0, 0], [0, 1, 0, 0]], answers)), spelled)
    assert (found["questions"], found["samples"]) == (2, 4)
    assert found["accuracy"]["value"] == pytest.approx(3 / 8)
    assert set(found["accuracy"]["intervals"]) == {"questions like these", "these questions"}
    assert list(found["pass_at"]) == ["1", "2", "4"]
    assert found["pass_at"]["1"]["value"] == pytest.approx(3 / 8)
    assert found["pass_at"]["2"]["value"] == pytest.approx(((1 - 1 / 6) + 1 / 2) / 2)
    assert found["pass_at"]["4"]["value"] == 1
    # of 4: two votes for the right 1 win; of 4 different answers each has a quarter
    assert found["majority_at"]["4"]["value"] == pytest.approx((1 + 1 / 4) / 2)
    assert found["length"] == {"mean": 5.0, "max": 5}
    assert found["decided_by"] == {"integers": 1.0}
    assert "clusters" not in found


def test_shares_and_counts_of_what_the_grader_said() -> None:
    statuses = [["timeout", "no_answer"], ["too_long", "error"]]
    found = summarise(Measured(responses([[0, 0], [0, 0]], statuses=statuses, why="took: 3 s (2/5)")), None)
    assert (found["no_answer"], found["grader_timeouts"], found["grader_errors"]) == (0.25, 1, 1)
    assert found["answers_too_long"] == 1
    assert found["decided_by"] == {"took": 1.0}
    assert found["majority_at"] == {}


def test_partial_verdicts_have_no_pass_at_k() -> None:
    found = summarise(Measured(responses([[0.5, 1.0]])), spelled)
    assert found["pass_at"] == {}
    assert found["accuracy"]["value"] == 0.75


def test_clusters_widen_the_interval_over_questions_like_these() -> None:
    verdicts = [[1], [1], [1], [0], [0], [0], [1], [0]]
    alone = summarise(Measured(responses(verdicts)), None)
    together = summarise(Measured(responses(verdicts), ("a", "a", "a", "b", "b", "b", "c", "d")), None)
    width = [each["accuracy"]["intervals"]["questions like these"] for each in (alone, together)]
    assert width[0]["error"] < width[1]["error"]
    assert (width[0]["units"], width[1]["units"]) == (8, 4)
    assert together["clusters"]["q1"] == "a"


def test_the_mean_counts_every_benchmark_alike() -> None:
    parts = {"small": Measured(responses([[1], [1]])), "large": Measured(responses([[0], [0], [0], [1]]))}
    assert macro(parts)["value"] == pytest.approx((1 + 1 / 4) / 2)
