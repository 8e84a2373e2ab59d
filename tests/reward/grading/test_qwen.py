"""The Qwen2.5-Math grader: what it reads, and what it takes for equal, right or not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerctl.reward.grading.qwen import extract_answer, math_equal, plainly_equal, strip


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("so \\boxed{1} or \\boxed{2}", "2"),
        ("so \\boxed{1", "1"),
        ("the answer is 42.", "42"),
        ("final answer is $7$. I hope it is correct.", "7"),
        ("it costs 1,234 or so", "1234"),
        ("\\boxed{5}<|im_end|>\\boxed{6}", "5"),
        ("no number", ""),
    ],
)
def test_extract_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("10\\text{ cm}", "10"),
        ("\\dfrac12", "\\frac{1}{2}"),
        ("1/2", "\\frac{1}{2}"),
        ("x=5", "5"),
        ("5\\%", "5"),
        ("36^\\circ", "36"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("3.00", "3"),
        ("twenty two", "22"),
        ("three hundred", "300"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("12 miles", "12"),
        (".5", "0.5"),
        ("2j", "2i"),
    ],
)
def test_strip(text, stripped):
    assert strip(text) == stripped


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("26001", "26000", True),
        ("26010", "26000", False),
        ("5", "500", True),
        ("0.05", "5", True),
        ("(B)", "B", True),
        ("1,234", "1234", True),
        ("x+1", "1+x", None),
        ("", "1", False),
    ],
)
def test_without_a_parser(answer, gold, equal):
    assert plainly_equal(answer, gold) is equal


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("[0,1)", "(0,1)", True),
        ("(1,2)", "(1,2.0)", True),
        ("(2,1)", "(1,2)", False),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2.0\\end{pmatrix}", True),
        ("x+1", "1+x", True),
        ("y=2x", "2x=y", True),
        ("k=5", "5", True),
        ("\\frac{100}{3}", "33.333", True),
        ("4.5\\times10^{33}", "4.5e33", False),
        ("x^2", "x^3", False),
    ],
)
def test_with_a_parser(answer, gold, equal):
    assert math_equal(answer, gold) is equal


def test_no_text_is_evaluated(tmp_path):
    mark = tmp_path / "mark"
    for payload in (f"__import__('os').mkdir('{mark}')", f"exec(\"import os; os.mkdir('{mark}')\")"):
        for other in ("x+1", "7", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)", "x=2", payload[:-1]):
            math_equal(payload, other)
            math_equal(other, payload)
            math_equal(f"x={payload}", f"y={other}")
            math_equal(f"({payload},1)", f"({other},1)")
    assert not mark.exists()


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="\\boxed{}frac123 =.,%$()[]", max_size=80))
def test_any_text(text):
    assert isinstance(strip(extract_answer(text)), str)
    assert plainly_equal(text, text) is not False
