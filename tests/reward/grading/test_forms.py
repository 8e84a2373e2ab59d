"""What the form of two answers decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.reward.grading import forms


@pytest.mark.parametrize(
    ("answer", "gold", "reason"),
    [
        ("\\{1,2\\}", "(1,2)", "a set is no tuple"),
        ("\\left(1,2\\right)", "\\{1,2\\}", "a set is no tuple"),
        ("\\{1,2\\}", "1,2", None),
        ("(1,2)", "1,2", None),
        ("(1)", "\\{1\\}", None),
        ("(1,2),(3,4)", "\\{(1,2),(3,4)\\}", None),
        ("(2,\\infty]", "(2,\\infty)", "closed at infinity"),
        ("[-\\infty,2)", "(-\\infty,2)", "closed at infinity"),
        ("[2,\\infty)", "[2,\\infty)", None),
        ("1,2,3", "1,2", "another number of answers"),
        ("1", "1,2", "another number of answers"),
        ("1,1,2", "1,2", None),
        ("1,2", "1,1,2", "another number of answers"),
        ("\\pm 1", "1,-1", None),
        ("x=1,x=2", "1,2", None),
        ("3\\text{ or more}", "3", "a bound is no value"),
    ],
)
def test_differ(answer, gold, reason):
    assert forms.differ(answer, gold) == reason


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("204_5", "204_5", True),
        ("204_{5}", "204_6", False),
        ("101_2", "5_{10}", True),
        ("204_5", "204", None),
        ("x_1", "x_2", None),
        ("9_5", "4_5", None),
    ],
)
def test_bases(answer, gold, equal):
    assert forms.bases(answer, gold) is equal


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("20:34", "08:34 \\text{P.M.}", True),
        ("8:34 p.m.", "20:34", True),
        ("8:34", "8:34 pm", False),
        ("12:05 am", "0:05", True),
        ("7:32", "14:64", None),
    ],
)
def test_times_of_day(answer, gold, equal):
    assert forms.times(answer, gold) is equal


@pytest.mark.parametrize(("text", "product"), [("10cm", True), ("10m^{2}", True), ("10 cm", False), ("10", False)])
def test_letters_that_touch_a_number_are_factors(text, product):
    assert forms.factors(text) is product


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(B) 12", ("B", "12")),
        ("\\textbf{(B)}\\ 12", ("B", "12")),
        ("\\text{(B)}", ("B", "")),
        ("B) 12", ("B", "12")),
        ("B. 12", ("B", "12")),
        ("B", None),
        ("(A+B)", None),
        ("A.5", None),
    ],
)
def test_options(text, found):
    assert forms.option(text) == found


@pytest.mark.parametrize(
    ("answer", "gold", "both"),
    [
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1, 2)", ("(1,2)", "(1,2)")),
        ("[1,2]", "\\begin{bmatrix}1&2\\end{bmatrix}", ("(1,2)", "(1,2)")),
        ("\\langle 1,2 \\rangle", "(1,2)", ("(1,2 )", "(1,2)")),
        ("f(x)=2x", "y = 2x", ("2x", "2x")),
        ("y=2x", "g(x)=3x", ("2x", "3x")),
        ("f(x)=2x", "g(x)=2x", ("f(x)=2x", "g(x)=2x")),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "(1,2)", ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "(1,2)")),
    ],
)
def test_two_forms_of_one_object(answer, gold, both):
    assert forms.alike(answer, gold) == both


def test_items():
    assert forms.items("(1,2), \\{3,4\\}, [5,6)") == ["(1,2)", "\\{3,4\\}", "[5,6)"]
    assert forms.items("f(a,b)") == ["f(a,b)"]


@given(st.text(alphabet="()[]{}\\,1x_:apm. &", max_size=60), st.text(alphabet="()[]{}\\,1x_:apm. &", max_size=60))
def test_any_text(answer, gold):
    assert forms.differ(answer, gold) is None or answer != gold
    assert forms.differ(answer, answer) is None
    assert forms.bases(answer, gold) in (None, True, False)
    assert forms.bases(answer, answer) is not False
    assert forms.times(answer, answer) is not False
    assert forms.times(answer, gold) == forms.times(gold, answer)
    one, other = forms.alike(answer, answer)
    assert one == other
    if (found := forms.option(answer)) is not None:
        assert found[0] in answer
