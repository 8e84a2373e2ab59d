"""What is put together, and what everything is compared with."""

import pytest

from steerctl.errors import UserError
from steerctl.report.page.html import page
from steerctl.report.page.report import Asked, make_report


def baselines(methods, **asked):
    return make_report(methods, Asked(**asked)).question.baselines


def test_the_baseline_is_the_one_asked_for_else_the_sweep_s_else_a_well_known_name(methods):
    assert baselines(methods) == {"grpo": None, "steer": "grpo", "wide": "grpo"}
    assert baselines(methods, baseline="wide") == {"grpo": "wide", "steer": "wide", "wide": None}
    said = {"steer": "wide"}
    assert baselines(methods, baselines=said) == {"grpo": "wide", "steer": "wide", "wide": None}
    two = {"steer": "grpo", "other": "grpo"}
    assert baselines(methods, baselines=two) == {"grpo": None, "steer": "grpo", "wide": "grpo"}
    assert baselines(methods, alone=True) == dict.fromkeys(["grpo", "steer", "wide"])
    assert baselines(methods, alone=True, baseline="grpo")["wide"] == "grpo"
    with pytest.raises(UserError, match="no method is called nope"):
        baselines(methods, baseline="nope")


def test_main_kept_and_front(report):
    assert report.main.key == "validation/accuracy/mean"
    assert report.kept.found["steer"].detected
    assert "steer" in report.front
    assert report.compares


def test_titles(methods):
    assert make_report(methods, Asked()).title == "grpo and steer and wide"
    assert make_report(methods, Asked(title="x")).title == "x"


def test_a_search_is_compared_with_nothing(methods):
    report = make_report(methods, Asked(alone=True))
    text = page(report)
    assert "no detectable difference" not in text
    assert "a baseline itself" not in text
    assert "against grpo: 1 change" in text
