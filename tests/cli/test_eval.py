"""`steerctl eval` as it is typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.cli.eval import GRADERS
from steerctl.errors import UserError
from steerctl.plugins import registry
from tests.evaluation.test_versus import VERDICTS, evaluation

PRESENT = {"steer-train", "steer-eval", "math-verify", "strict"}


def run(*arguments):
    return CliRunner().invoke(build(), ["eval", *map(str, arguments)])


def test_options_belong_to_eval_itself_and_compare_is_a_command() -> None:
    shown = run("--help").output
    for word in ("--model", "--suite", "--from-rollouts", "--exclude-overlaps", "compare A B"):
        assert word in shown
    assert "--format" in run("compare", "--help").output


def test_every_named_grader_is_a_kind_of_judge() -> None:
    assert set(GRADERS) == PRESENT
    assert set(GRADERS.values()) <= set(registry("steerctl.reward"))


def test_without_a_model_it_says_what_is_missing() -> None:
    found = run("--suite", "arithmetic")
    assert isinstance(found.exception, UserError)
    assert "--model" in str(found.exception)


def test_compare_says_what_it_could_have_seen(tmp_path) -> None:
    folders = [evaluation(tmp_path / "a", VERDICTS), evaluation(tmp_path / "b", 1 - VERDICTS)]
    text = " ".join(run("compare", *folders).output.split())
    assert "this test could have seen" in text
    assert "Holm" in text
    found = json.loads(run("compare", "--format", "json", *folders).output)
    assert [row["benchmark"] for row in found["comparisons"]] == ["one", "two", "mean"]
    assert set(found["comparisons"][0]["intervals"]) == {"questions like these", "these questions"}


def test_compare_refuses_other_prompts(tmp_path) -> None:
    folders = [evaluation(tmp_path / "a", VERDICTS), evaluation(tmp_path / "b", VERDICTS, prompts="other")]
    with pytest.raises(UserError, match="prompts"):
        raise run("compare", *folders).exception
