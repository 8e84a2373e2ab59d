"""The released recipe's string equality, its strictness included."""

import pytest

from steerctl.reward.dapo_strict import DapoStrict, strict_answer
from steerctl.types import Problem


@pytest.mark.parametrize(
    ("text", "value", "status"),
    [
        ("so \\boxed{34}", 1.0, "ok"),
        ("\\boxed{33} then \\boxed{34}.", 1.0, "ok"),
        ("\\boxed{34} then \\boxed{33}", 0.0, "ok"),
        ("\\boxed{ 34 }", 0.0, "ok"),
        ("\\boxed{34.}", 0.0, "ok"),
        ("\\boxed{x=34}", 0.0, "ok"),
        ("\\boxed{34^\\circ}", 0.0, "ok"),
        ("\\boxed{34" + "x" * 10, 0.0, "no_answer"),
        ("\\boxed{34}" + "x" * 90, 1.0, "ok"),
        ("\\boxed{34}" + "x" * 91, 0.0, "no_answer"),
        ("34", 0.0, "no_answer"),
    ],
)
def test_verdicts(text, value, status):
    (verdict,) = DapoStrict().open().verify([(Problem("p", (), "34", "s"), text)])
    assert (verdict.value, verdict.status) == (value, status)


def test_braces_count_as_the_recipe_counts_them():
    assert strict_answer("\\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert strict_answer("\\boxed{\\{1}") is None
    assert strict_answer("\\boxed{1} and \\boxed{2") is None
