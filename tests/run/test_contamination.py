"""Questions that are in a training file: flagged, or left out."""

from __future__ import annotations

import json

import pytest

from steerctl.errors import DataError
from steerctl.run.contamination import contamination
from tests.run.test_questions import asked


@pytest.fixture(scope="module")
def questions():
    found, _ = asked("evaluation.folder=examples", suite="math500,minerva")
    return found


def training_file(folder, texts):
    path = folder / "train.jsonl"
    rows = [
        {
            "prompt": [{"role": "user", "content": text}],
            "reward_model": {"ground_truth": "1"},
            "data_source": "train",
            "extra_info": {"index": index},
        }
        for index, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_flags_name_question_and_row_and_leave_all_in(questions, tmp_path) -> None:
    first = questions[0].problems[0]
    path = training_file(tmp_path, ["How many apples are left of seven if three are eaten?", first.info["question"]])
    found = contamination(questions, path, None)
    overlap = found.flags["math500"]["overlap"]
    assert (overlap["questions"], overlap["excluded"], overlap["strictness"]) == (1, False, "same")
    assert overlap["rows"] == {first.id: "train/1"}
    assert found.flags["minerva"]["overlap"]["questions"] == 0
    assert [len(each.problems) for each in found.questions] == [len(each.problems) for each in questions]


def test_flagged_questions_can_be_left_out(questions, tmp_path) -> None:
    first = questions[0].problems[0]
    path = training_file(tmp_path, [first.info["question"]])
    found = contamination(questions, path, "exact")
    assert first.id not in {each.id for each in found.questions[0].problems}
    assert found.questions[0].dataset_hash != questions[0].dataset_hash
    assert found.flags["math500"]["overlap"]["excluded"]


def test_a_benchmark_with_nothing_left_is_an_error(questions, tmp_path) -> None:
    path = training_file(tmp_path, [each.info["question"] for each in questions[1].problems])
    with pytest.raises(DataError, match="minerva: every question is in"):
        contamination(questions, path, "exact")
