"""What an evaluation asks: decided before anything is started."""

from __future__ import annotations

import pytest

from steerctl.engine.models import load_tokenizer
from steerctl.errors import DataError
from steerctl.run.questions import details, prepared, questions_of, rendered_hash
from steerctl.spec.load import spec_from
from tests.run.command import SMALL


def asked(*overrides, suite="arithmetic"):
    spec = spec_from(SMALL, "here", [f"evaluation.suite={suite}", *overrides]).spec
    return questions_of(spec), load_tokenizer(spec.policy)


def test_the_preset_decides_sampling_and_the_user_has_the_last_word() -> None:
    (found,), _ = asked("evaluation.folder=examples", suite="aime24")
    assert (found.samples, found.sampling()["top_p"], found.sampling()["max_tokens"]) == (32, 0.7, 3072)
    (found,), _ = asked("evaluation.folder=examples", "evaluation.preset=r1", "evaluation.samples=3", suite="aime24")
    assert (found.samples, found.sampling()["temperature"]) == (3, 0.6)
    (found,), _ = asked("evaluation.temperature=0.9", "evaluation.top_p=0.8", "evaluation.max_tokens=7")
    assert found.sampling() == {
        "preset": "steer", "temperature": 0.9, "top_p": 0.8, "top_k": 0, "max_tokens": 7, "samples": 4, "seed": 1,
    }  # fmt: skip


def test_nothing_of_the_training_reaches_the_benchmark() -> None:
    (found,), _ = asked("rollout.dynamic_sampling={}", "reward.correct=2.0", "data.template=boxed")
    assert found.spec.rollout.dynamic_sampling is None
    assert found.spec.reward.correct == 1.0
    assert found.spec.data.template == "plain"


def test_hashes_follow_questions_and_prompts_and_not_the_place(tmp_path) -> None:
    (one,), tokenizer = asked("evaluation.folder=examples", suite="math500")
    (boxed,), _ = asked("evaluation.folder=examples", "evaluation.preset=dapo", suite="math500")
    (fewer,), _ = asked("evaluation.folder=examples", "evaluation.questions=1", suite="math500")
    assert one.dataset_hash == boxed.dataset_hash != fewer.dataset_hash
    assert one.prompt_hash != boxed.prompt_hash
    assert len(fewer.problems) == 1
    assert rendered_hash(prepared(one, tokenizer)) != rendered_hash(prepared(boxed, tokenizer))
    said = details(one, prepared(one, tokenizer))
    assert "folder" not in said["dataset"]
    assert said["grader"]["kind"] == "math_verify"


def test_every_missing_file_is_named_at_once(tmp_path) -> None:
    with pytest.raises(DataError, match=r"aime24 .*humaneval_plus .*--data"):
        asked(f"evaluation.folder={tmp_path}", suite="aime24,humaneval_plus")


def test_a_long_prompt_is_an_error_because_no_question_is_left_out() -> None:
    (found,), tokenizer = asked("evaluation.max_prompt_tokens=12")
    with pytest.raises(DataError, match=r"prompts of more than 12 tokens"):
        prepared(found, tokenizer)
