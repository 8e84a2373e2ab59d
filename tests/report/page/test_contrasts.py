"""Planned contrasts: what a sweep asked, answered by itself."""

import pytest

from steerctl.report.page.contrasts import Contrast, answers
from steerctl.report.page.report import Asked, make_report
from tests.report.page.test_findings import QUESTION, number

ENTROPY = "policy/entropy/mean"


def test_an_answer_is_the_tables_comparison_with_a_correction_of_its_own(methods):
    asked = [Contrast("Does it keep entropy?", "steer", metric=ENTROPY), Contrast("Better?", "steer")]
    kept, better = answers(methods.methods, QUESTION, asked)
    for answer, key in ((kept, ENTROPY), (better, QUESTION.metric)):
        other = number(methods, key).found["steer"]
        assert (answer.key, answer.method, answer.baseline, answer.found.pairs) == (key, "steer", "grpo", 4)
        assert answer.found.difference == other.difference
        assert answer.found.p_value == other.p_value
    small, large = sorted((kept.found, better.found), key=lambda each: each.p_value)
    assert small.p_adjusted == pytest.approx(min(1, 2 * small.p_value))
    assert large.p_adjusted == pytest.approx(min(1, max(large.p_value, 2 * small.p_value)))


def test_one_contrast_alone_is_not_corrected(methods):
    (only,) = answers(methods.methods, QUESTION, [Contrast("?", "steer", metric=ENTROPY)])
    assert only.found.p_adjusted == only.found.p_value
    assert (only.title, only.unit) == ("Entropy of the policy", "nats")


def test_a_baseline_of_its_own(methods):
    (answer,) = answers(methods.methods, QUESTION, [Contrast("?", "steer", "wide", "reward/mean")])
    values = number(methods, "reward/mean").values
    differences = [values["steer"][seed] - values["wide"][seed] for seed in (1, 2, 3, 4)]
    assert answer.baseline == "wide"
    assert answer.found.difference.value == pytest.approx(sum(differences) / 4)


def test_what_is_not_there_yet_is_left_out(methods):
    asked = [
        Contrast("no such method", "absent", "grpo"),
        Contrast("no such baseline", "steer", "absent"),
        Contrast("the baseline itself", "grpo"),
        Contrast("never measured", "steer", metric="eval/x/accuracy/mean"),
    ]
    assert answers(methods.methods, QUESTION, asked) == ()
    report = make_report(methods, Asked(contrasts=tuple(asked[:1])))
    assert report.planned == ()
