"""The last box, character by character."""

import pytest

from steerctl.reward.strict import Strict
from steerctl.types import Problem


@pytest.mark.parametrize(
    ("text", "value", "answer"),
    [
        ("\\boxed{34}" + " and so on" * 50, 1.0, "34"),
        ("\\boxed{12} \\boxed{34}", 1.0, "34"),
        ("\\boxed{ 34 }", 0.0, " 34 "),
        ("\\boxed{34.}", 0.0, "34."),
        ("\\boxed{34}</think> done", 0.0, None),
        ("\\boxed{34", 0.0, None),
        ("34", 0.0, None),
    ],
)
def test_verdicts(text, value, answer):
    (verdict,) = Strict().open().verify([(Problem("p", (), "34", "s"), text)])
    assert (verdict.value, verdict.answer) == (value, answer)
    assert (verdict.status == "no_answer") == (answer is None)


def test_every_reference_answer_is_accepted():
    either = Problem("p", (), "1/2", "s", {"golds": ("1/2", "0.5")})
    verdicts = Strict().open().verify([(either, "\\boxed{0.5}"), (either, "\\boxed{\\frac12}")])
    assert [one.value for one in verdicts] == [1.0, 0.0]
