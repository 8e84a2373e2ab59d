"""What may be concluded."""

from dataclasses import replace

import pytest

from steerctl.evaluation.seeds import over_seeds
from steerctl.report.page.findings import (
    KEPT,
    NONE_SEEN,
    Question,
    costs,
    main_metric,
    numbers,
    on_the_front,
    usable,
    verdict,
)
from steerctl.report.page.methods import group
from tests.report.page.runs import write_run

QUESTION = Question(
    metric="validation/accuracy/mean",
    direction="maximize",
    more=("reward/mean",),
    baselines={"grpo": None, "steer": "grpo", "wide": "grpo"},
    last_steps=5,
    choose_by="validation/accuracy/mean",
)


def number(methods, key, at="last", question=QUESTION):
    return next(each for each in numbers(methods.methods, question) if (each.key, each.at) == (key, at))


def test_values_are_means_of_the_last_steps(methods):
    reward = number(methods, "reward/mean")
    run = methods.named("steer").runs[0]
    last = [line["reward/mean"] for line in run.lines if line["step"] > 5]
    assert reward.values["steer"][run.seed] == pytest.approx(sum(last) / 5)
    assert main_metric(methods.methods) == "validation/accuracy/mean"
    assert numbers(methods.methods, QUESTION)[0].key == QUESTION.metric


def test_at_the_chosen_step_every_number_is_that_step_s(methods):
    reward = number(methods, "reward/mean", at="chosen")
    run = methods.named("grpo").runs[1]
    best = max((line for line in run.lines if line["step"] > 0), key=lambda line: line.get(QUESTION.metric, 0))
    assert reward.values["grpo"][2] == best["reward/mean"]


def test_entropy_kept_is_a_share_of_the_first_step_s(methods):
    kept = number(methods, KEPT, question=replace(QUESTION, last_steps=1))
    run = methods.named("steer").runs[0]
    expected = run.lines[-1]["policy/entropy_after/mean"] / run.lines[1]["policy/entropy/mean"]
    assert kept.values["steer"][1] == pytest.approx(expected)
    assert verdict(kept.found["steer"]) == "higher"
    assert verdict(number(methods, "reward/mean").found["wide"]) == NONE_SEEN
    assert verdict(kept.found["grpo"]) == ""


def test_only_finished_runs_count_unless_there_is_none(tmp_path):
    finished, other = write_run(tmp_path, "grpo", 1), write_run(tmp_path, "grpo", 2, state="interrupted")
    assert [run.seed for run in usable(group([finished, other]).methods)["grpo"]] == [1]
    assert [run.seed for run in usable(group([other]).methods)["grpo"]] == [2]


def test_words():
    few = over_seeds({"a": {1: 0.1}, "b": {1: 0.2}, "c": {9: 1.0}}, {"b": "a", "c": "a"})
    assert verdict(few["b"]) == "too few pairs to tell"
    assert verdict(few["c"]) == "no pairs of equal seeds"
    clear = {"a": dict.fromkeys(range(5), 1.0), "b": {seed: 0.001 * seed for seed in range(5)}}
    assert verdict(over_seeds(clear, {"b": "a"})["b"]) == "lower"
    shifted = {"a": {1: 0.5, 2: 0.25}, "b": {1: 1.5, 2: 1.25}}
    assert verdict(over_seeds(shifted, {"b": "a"})["b"]) == "the same difference in every pair"


def test_a_difference_that_holds_alone_and_not_among_many_is_said_to_be_one():
    base = dict.fromkeys(range(5), 0.0)
    near = dict(enumerate([0.1, 0.2, 0.1, 0.2, 0.05]))
    noise = {f"n{k}": dict(enumerate([0.1, -0.1, 0.05, -0.02, 0.01 * k])) for k in range(20)}
    alone = over_seeds({"a": base, "b": near}, {"b": "a"})["b"]
    among = over_seeds({"a": base, "b": near, **noise}, {"b": "a", **dict.fromkeys(noise, "a")})["b"]
    assert among.difference.low > 0
    assert (verdict(alone), verdict(among)) == ("higher", "no detectable difference once corrected")


def test_the_front_is_what_nothing_beats_in_both():
    accuracy = {"a": 0.5, "b": 0.6, "c": 0.4, "d": 0.6}
    kept = {"a": 0.9, "b": 0.5, "c": 0.8, "d": 0.4}
    assert on_the_front(accuracy, kept) == ["a", "b"]


def test_cost_is_a_mean_over_runs(methods):
    found = costs(methods.methods)["grpo"]
    assert (found.runs, found.steps, found.tokens, found.seconds) == (4, 10, 1000, 20)
    assert found.parts == {"update": 10}
