"""What is decided without a parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.reward.grading.compare import compare, gold_of, plain_integers


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("42", "42", True),
        ("042", "42", True),
        ("43", "42", False),
        ("0", "00", True),
        ("42.0", "42", None),
        ("²", "2", None),
    ],
)
def test_plain_integers(answer, gold, expected):
    assert plain_integers(answer, gold) is expected


@pytest.mark.parametrize(
    ("answer", "gold", "right", "why"),
    [
        ("42.0", "42", True, "numbers"),
        ("26001", "26,000", False, "numbers"),
        ("26000.01", "26000", False, "numbers"),
        ("-5", "5", False, "numbers"),
        ("0.0000002", "0.0000001", False, "numbers"),
        ("3.33333334", "3.33333333", True, "numbers"),
        ("0.067", "0.066793", False, "numbers"),
        ("4.5 \\times 10^{33}", "4.5e33", True, "same text"),
        ("4.50 \\times 10^{33}", "4.5e33", True, "numbers"),
        ("4.5 \\times 10^{32}", "4.5e33", False, "numbers"),
        ("1e-9", "2e-9", False, "numbers"),
        ("10\\%", "0.1", True, "per cent"),
        ("10\\%", "10", True, "per cent"),
        ("0.1", "10\\%", True, "per cent"),
        ("10\\%", "100", False, "per cent"),
        ("10\\%", "10 percent", True, "per cent"),
        ("\\frac{1}{2}\\%", "0.5\\%", None, "parser"),
        ("\\text{(B)}", "(B)", True, "same text"),
        ("", "1", False, "empty answer"),
        (".", "1", False, "empty answer"),
        ("1/2", "0.5", None, "parser"),
    ],
)
def test_steps(answer, gold, right, why):
    decision = compare(answer, gold_of(gold), relative_tolerance=1e-6)
    assert (decision.right, decision.why) == (right, why)


def test_the_tolerance_never_applies_to_integers():
    assert compare("26001.0", gold_of("26000"), relative_tolerance=1e-3).right is False
    assert compare("2.601", gold_of("2.600"), relative_tolerance=1e-3).right is True


@pytest.mark.parametrize("gold", ["", " ", "$", "}", "a}b", "{", "\\boxed{}", "1" * 5000])
def test_unreadable_reference_answers(gold):
    assert gold_of(gold).text is None


@pytest.mark.parametrize("gold", ["\\boxed{\\frac{1}{2}}", "$\\frac{1}{2}$", "So \\boxed{\\frac{1}{2}}."])
def test_dressed_reference_answers(gold):
    assert gold_of(gold).text == "\\frac{1}{2}"


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_text_gives_a_decision(answer, gold):
    reference = gold_of(gold)
    if reference.text is not None:
        decision = compare(answer, reference, relative_tolerance=1e-6)
        assert (decision.right is None) == bool(decision.candidates)
