"""Evaluations side by side: what is compared, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from steerctl.errors import UserError
from steerctl.evaluation.versus import MACRO, versus
from steerctl.store.evaluations import EvaluationFolder
from steerctl.store.rollouts import RolloutTable
from steerctl.store.sample_rows import sample_table
from tests.store.test_evaluations import group

RANDOM = np.random.default_rng(3)
VERDICTS = RANDOM.integers(0, 2, (60, 2)).astype(float)


def evaluation(folder, verdicts, names=("one", "two"), prompts="p", temperature=1.0):
    """A finished evaluation with these verdicts in every benchmark."""
    for name in names:
        groups = [group(f"{name}/{row}", tuple(values)) for row, values in enumerate(verdicts)]
        with EvaluationFolder(folder).samples(name, {"a": 1}) as file:
            file.add(sample_table(RolloutTable.of(groups), 0, 2, {"fingerprint": "f"}), len(groups))
            file.finish()
    each = {
        "dataset": {"hash": "d"},
        "prompt_hash": prompts,
        "sampling": {"temperature": temperature},
        "accuracy": {"value": float(np.mean(verdicts))},
    }
    EvaluationFolder(folder).write({"benchmarks": dict.fromkeys(names, each)}, {})
    return folder


def test_a_real_gain_is_found_and_corrected_for_two_tests(tmp_path) -> None:
    better = np.maximum(VERDICTS, RANDOM.random(VERDICTS.shape) < 0.4)
    found = versus([evaluation(tmp_path / "a", VERDICTS), evaluation(tmp_path / "b", better)])
    assert [row.benchmark for row in found.rows] == ["one", "two", MACRO]
    for row in found.rows[:2]:
        assert row.comparison.difference.value == pytest.approx(float(better.mean() - VERDICTS.mean()))
        assert row.comparison.p_value < 0.001
        assert row.p_corrected == pytest.approx(min(1.0, 2 * row.comparison.p_value))
        assert row.comparison.detectable > 0
    assert found.rows[2].p_corrected is None
    assert found.notes == ()


def test_a_model_against_itself_differs_in_nothing(tmp_path) -> None:
    found = versus([evaluation(tmp_path / "a", VERDICTS), evaluation(tmp_path / "b", VERDICTS)])
    assert {row.comparison.p_value for row in found.rows} == {1.0}
    assert {row.comparison.difference.value for row in found.rows} == {0.0}


def test_other_prompts_and_other_questions_are_refused_by_name(tmp_path) -> None:
    first = evaluation(tmp_path / "a", VERDICTS)
    with pytest.raises(UserError, match=r"one: the prompts of .*b and .*a differ; two: the prompts"):
        versus([first, evaluation(tmp_path / "b", VERDICTS, prompts="q")])
    other = evaluation(tmp_path / "c", VERDICTS)
    result = json.loads((other / "result.json").read_text())
    result["benchmarks"]["two"]["dataset"]["hash"] = "e"
    (other / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"alike: two: the questions of"):
        versus([first, other])


def test_what_is_not_in_all_is_left_aside_and_other_sampling_is_said(tmp_path) -> None:
    first = evaluation(tmp_path / "a", VERDICTS)
    other = evaluation(tmp_path / "b", VERDICTS, names=("two", "three"), temperature=0.5)
    found = versus([first, other])
    assert [row.benchmark for row in found.rows] == ["two"]
    assert "left aside: one, three" in found.notes[0]
    assert "the sampling of" in found.notes[1]
    with pytest.raises(UserError, match="no benchmark is in all"):
        versus([first, evaluation(tmp_path / "c", VERDICTS, names=("three",))])
    with pytest.raises(UserError, match="two evaluations or more"):
        versus([first])
