"""Typography goes, mathematics stays."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.reward.grading.normalise import canonical, normalise, number, without_percent


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("$42$.", "42"),
        ("\\(42\\)", "42"),
        ("+7", "7"),
        ("−5", "-5"),
        ("1,234", "1234"),
        ("1{,}234", "1234"),
        ("1\\,234\\,567", "1234567"),
        ("11,\\! 111,\\! 100", "11111100"),
        ("32, 349", "32, 349"),
        ("1,\\ 234", "1,\\ 234"),
        ("1,2345", "1,2345"),
        ("\\$36", "36"),
        ("540~\\mathrm{cm}", "540"),
        ("10\\text{ cm}^{2}", "10"),
        ("\\frac{270}7\\text{ degrees}", "\\frac{270}7"),
        ("10 square units", "10"),
        ("2\\mathrm{i}", "2\\mathrm{i}"),
        ("5 million", "5 million"),
        ("5\\text{ million dollars}", "5\\text{ million dollars}"),
        ("5\\text{ }", "5\\text{ }"),
        ("2 sin", "2 sin"),
        ("10cm", "10cm"),
        ("4.5e33", "4.5 \\times 10^{33}"),
        ("1 1/2", "\\frac{3}{2}"),
        ("-1 1/2", "-\\frac{3}{2}"),
        ("2=x", "x=2"),
        ("x²+½", "x^{2}+1/2"),
        ("\\left. x \\right.", "\\left. x \\right."),
        ("a\\\\(1,2)", "a\\\\(1,2)"),
        ("...", ""),
    ],
)
def test_normalise(answer, expected):
    assert normalise(answer) == expected


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\dfrac{\\pi}{2})", True),
        ("\\text{east}", "east", True),
        ("36^\\circ", "36", True),
        ("\\cot x", "\\cotx", True),
        ("1 2", "12", False),
        ("1 1/2", "11/2", False),
        ("[0,1)", "(0,1)", False),
        ("\\leftarrow", "arrow", False),
    ],
)
def test_canonical(one, other, equal):
    assert (canonical(one) == canonical(other)) == equal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", "12"),
        ("-.5", "-0.5"),
        ("34.", "34"),
        ("4.50 \\times 10^{33}", "4.5e33"),
        ("10^4", "10000"),
        ("-3 \\cdot 10^{-2}", "-0.03"),
        ("12a", None),
        ("1/2", None),
        ("٣", None),
        ("10^{999999999999999999999}", None),
    ],
)
def test_number(text, value):
    assert number(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("5\\%", "5"),
        ("5%", "5"),
        ("5 percent", "5"),
        ("5\\text{ percent}", "5"),
        ("5", None),
        ("%", None),
        ("5% x", None),
    ],
)
def test_without_percent(text, bare):
    assert without_percent(text) == bare


@pytest.mark.parametrize(
    "pattern",
    [
        "1",
        "1\\,",
        "1,",
        "\\text{",
        "{",
        "^\\circ",
        " ",
        "a ",
        "1 ",
        "\\frac1",
        "1e",
        "%",
        "\\left",
        ",\\!",
        "~",
        "√",
        "²",
    ],
)
def test_no_pattern_is_slow_at_the_longest_answer(pattern):
    text = (pattern * 4096)[:4096]
    begin = time.perf_counter()
    normalised = normalise(text)
    canonical(normalised)
    number(normalised)
    without_percent(normalised)
    assert time.perf_counter() - begin < 0.5


@given(st.text(max_size=200))
def test_any_text_is_normalised(text):
    normalised = normalise(text)
    assert "$" not in normalised
    assert not normalised.endswith((" ", ".")) or normalised.endswith("\\right.")
