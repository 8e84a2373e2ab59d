"""Saved responses as answers to benchmarks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steerctl.errors import DataError, SpecError
from steerctl.reward.arithmetic import ArithmeticVerifier
from steerctl.run.evaluate_saved import SavedAnswers
from steerctl.store.evaluations import EvaluationFolder
from steerctl.types import Rollout
from tests.run.test_questions import asked
from tests.store.test_evaluations import group, kept


@pytest.fixture
def answers(tmp_path):
    """The arithmetic questions backwards, each answered right and wrong."""
    (questions,), _ = asked("evaluation.questions=6", "evaluation.samples=2")
    groups = []
    for problem in reversed(questions.problems):
        one = group(problem.id, (0.0, 0.0))
        texts = (f"####{problem.gold}", "####-1")
        rollouts = tuple(
            Rollout(each.token_ids_T, each.logprobs_T, text, each.finish, each.seed, 0)
            for each, text in zip(one.rollouts, texts, strict=True)
        )
        groups.append(type(one)(one.problem, one.prompt_ids, rollouts, one.verdicts, one.rewards_G))
    kept(tmp_path, groups, 2)
    return questions, SavedAnswers.open(EvaluationFolder(tmp_path).samples_path("test"))


def test_responses_find_their_questions_and_are_judged_anew(answers) -> None:
    questions, saved = answers
    found, prompts = saved.answered(questions)
    assert found.problems[0].id == questions.problems[-1].id
    assert {each.prompt[0].content for each in found.problems} == {"?"}
    assert prompts.prompt_ids[0] == (1, 2)
    groups = saved.source(found, ArithmeticVerifier())(range(1, 4))
    assert [each.problem.id for each in groups] == [each.id for each in found.problems[1:4]]
    assert [each.rewards_G for each in groups] == [(1.0, 0.0)] * 3
    assert found.prompt_hash != questions.prompt_hash
    assert found.dataset_hash == questions.dataset_hash


def test_some_of_the_questions_in_any_place(answers) -> None:
    questions, saved = answers

    some = replace(questions, problems=(questions.problems[0], questions.problems[4], questions.problems[5]))
    found, _ = saved.answered(some)
    groups = saved.source(found, ArithmeticVerifier())(range(3))
    assert {each.problem.id for each in groups} == {each.id for each in some.problems}
    assert [each.rewards_G for each in groups] == [(1.0, 0.0)] * 3


def test_a_question_without_a_response_and_another_number_of_samples_are_errors(answers) -> None:
    _, saved = answers
    (more,), _ = asked("evaluation.questions=9", "evaluation.samples=2")
    with pytest.raises(DataError, match="3 of 9 questions of arithmetic have no response"):
        saved.answered(more)
    (wanted,), _ = asked("evaluation.questions=6", "evaluation.samples=4")
    with pytest.raises(SpecError, match="has 2 responses to each question, not 4"):
        saved.answered(wanted)


def test_a_question_asked_twice_is_an_error(tmp_path) -> None:
    kept(tmp_path, [group("a", (1.0,)), group("a", (1.0,))], 1)
    with pytest.raises(DataError, match="was asked twice"):
        SavedAnswers.open(EvaluationFolder(tmp_path).samples_path("test"))
