"""The summary against numbers done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from steerctl.errors import DataError
from steerctl.report.rollouts import EDGES, summarise, summary_table
from steerctl.store.rollouts import RolloutTable
from steerctl.store.sample_rows import sample_table
from steerctl.store.samples import SampleFile
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict
from tests.store.test_sample_rows import CONSTANTS

RIGHT, WRONG = Verdict(1.0, "2", "integers"), Verdict(0.0, "3", "integers")
NONE, LATE = Verdict(0.0, None, "no box", "no_answer"), Verdict(0.0, "x", "time limit", "timeout")


def group(name, verdicts, lengths):
    rollouts = tuple(
        Rollout(np.zeros(n, np.int32), np.zeros(n, np.float32), "", "length" if n == 9 else "stop", n, 0)
        for n in lengths
    )
    return RolloutGroup(Problem(name, (Message("user", "?"),), "2", "t"), (1, 2, 3), rollouts, verdicts, (0.0,) * 4)


@pytest.fixture(params=["r.parquet", "r.jsonl"])
def path(request, tmp_path):
    groups = [
        group("a", (RIGHT, WRONG, WRONG, NONE), (1, 2, 3, 9)),
        group("b", (RIGHT, RIGHT, RIGHT, RIGHT), (1, 1, 1, 1)),
        group("c", (WRONG, WRONG, LATE, NONE), (9, 9, 2, 2)),
    ]
    with SampleFile(tmp_path / request.param, {"seed": 1}) as file:
        for first, one in enumerate(groups):
            lengths = [len(rollout.token_ids_T) for rollout in one.rollouts]
            tokens = {"entropy": [np.full(n, 0.05 if first else 3.0, np.float32) for n in lengths]}
            constants = {**CONSTANTS, "chunk": first, "generate_seconds": 2.0, "fingerprint": file.fingerprint}
            file.add(sample_table(RolloutTable.of([one], tokens=tokens), first, 4, constants), 1)
        file.finish()
    return tmp_path / request.param


def test_the_numbers(path) -> None:
    found = summarise(path)
    assert (found.questions, found.responses) == (3, 12)
    assert found.accuracy.value == pytest.approx((0.25 + 1 + 0) / 3)
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert found.pass_at == {1: pytest.approx(1.25 / 3), 2: pytest.approx(1.5 / 3), 4: pytest.approx(2 / 3)}
    assert found.outcomes == {"right": 5, "wrong": 4, "no_answer": 2, "timeout": 1}
    assert found.reasons == {"integers": 9, "no box": 2, "time limit": 1}
    assert found.truncated == pytest.approx(3 / 12)
    assert found.lengths.sum() == 41
    assert found.prompt_length == 3
    assert found.seconds == (6.0, 0.75)
    shares, mean = found.entropy
    assert mean == pytest.approx((15 * 3.0 + 26 * 0.05) / 41)
    assert shares[EDGES.index(0.01)] == pytest.approx(26 / 41)
    assert shares[EDGES.index(2.0)] == pytest.approx(15 / 41)


def test_a_problem_asked_twice_is_one_question(tmp_path) -> None:
    with SampleFile(tmp_path / "r.parquet", {}) as file:
        for first, verdicts in enumerate([(RIGHT, WRONG, WRONG, WRONG), (WRONG, WRONG, WRONG, WRONG)]):
            constants = {**CONSTANTS, "chunk": first, "fingerprint": file.fingerprint}
            file.add(sample_table(RolloutTable.of([group("a", verdicts, (1, 1, 1, 1))]), first, 4, constants), 1)
        file.finish()
    found = summarise(tmp_path / "r.parquet")
    assert (found.questions, found.responses, found.entropy) == (1, 8, None)
    assert sorted(found.pass_at) == [1, 2, 4, 8]
    assert found.pass_at[4] == pytest.approx(0.5)


def test_it_is_shown(path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(summary_table(replace(summarise(path), reasons={"[bold]no markup": 3})))
    text = console.export_text()
    assert "accuracy    41.7%" in text
    assert "right: 5   wrong: 4   no_answer: 2   timeout: 1" in text
    assert "[bold]no markup: 3" in text
    assert "36.6%" in text  # 15 of 41 tokens at 3 nats


def test_a_file_of_something_else(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        summarise(tmp_path / "nowhere.parquet")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no rollouts"):
        summarise(tmp_path / "empty.jsonl")
