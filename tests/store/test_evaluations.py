"""The folder of an evaluation, and its responses read back."""

from __future__ import annotations

import numpy as np
import pytest

from steerctl.errors import DataError, RunFolderError
from steerctl.store.evaluations import EvaluationFolder, read_responses
from steerctl.store.rollouts import RolloutTable
from steerctl.store.sample_rows import sample_table
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict

ALIKE = {"fingerprint": "f", "generate_seconds": 1.5, "verify_seconds": 0.25, "chunk": 0}


def group(name, values, finish="stop"):
    problem = Problem(name, (Message("user", "?"),), "1", "test")
    rollouts = tuple(
        Rollout(np.arange(3, dtype=np.int32), np.zeros(3, np.float32), "text", finish, 7, 0) for _ in values
    )
    verdicts = tuple(Verdict(value, "1" if value else None, "why", "ok" if value else "no_answer") for value in values)
    return RolloutGroup(problem, (1, 2), rollouts, verdicts, values)


def kept(folder, groups, size):
    with EvaluationFolder(folder).samples("test", {"a": 1}) as file:
        file.add(sample_table(RolloutTable.of(groups), 0, size, ALIKE), len(groups))
        file.finish()
    return EvaluationFolder(folder)


def test_responses_come_back_by_question(tmp_path) -> None:
    folder = kept(tmp_path, [group("b", (1.0, 0.0)), group("a", (0.0, 0.0), "length")], 2)
    found = folder.responses("test")
    assert found.ids == ("b", "a")
    assert found.verdicts_PG.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert found.answers == (("1", None), (None, None))
    assert found.statuses[0] == ("ok", "no_answer")
    assert found.truncated_PG.tolist() == [[False, False], [True, True]]
    assert found.lengths_PG.tolist() == [[3, 3], [3, 3]]
    turned = found.of(["a", "b"])
    assert turned.verdicts_PG.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert folder.seconds("test") == {"generate": 1.5, "verify": 0.25}


def test_a_missing_question_is_an_error_and_not_a_zero(tmp_path) -> None:
    found = kept(tmp_path, [group("a", (1.0,))], 1).responses("test")
    with pytest.raises(DataError, match="1 questions have no responses, first b"):
        found.of(["a", "b"])


def test_a_missing_sample_is_an_error_and_not_a_zero(tmp_path) -> None:
    table = sample_table(RolloutTable.of([group("a", (1.0, 1.0)), group("b", (1.0, 1.0))]), 0, 2, ALIKE)
    with EvaluationFolder(tmp_path).samples("test", {"a": 1}) as file:
        file.add(table.slice(0, 3), 2)
        file.finish()
    with pytest.raises(DataError, match="no groups of equal size"):
        read_responses(EvaluationFolder(tmp_path).samples_path("test"))


def test_a_question_asked_twice_is_an_error(tmp_path) -> None:
    with pytest.raises(DataError, match="stands in it twice"):
        kept(tmp_path, [group("a", (1.0,)), group("a", (0.0,))], 1).responses("test")


def test_the_result_is_read_back_and_anything_else_refused(tmp_path) -> None:
    folder = EvaluationFolder(tmp_path)
    with pytest.raises(RunFolderError, match=r"no result\.json"):
        folder.read()
    folder.write({"benchmarks": {}}, {})
    assert folder.read()["benchmarks"] == {}
    before = folder.result_path.read_bytes()
    folder.write({"benchmarks": {}}, {"a": 1.0})
    assert folder.result_path.read_bytes() == before
    folder.result_path.write_text('{"format": 99, "benchmarks": {}}')
    with pytest.raises(RunFolderError, match="another format"):
        folder.read()
    folder.result_path.write_text("[]")
    with pytest.raises(RunFolderError, match="not the result"):
        folder.read()
