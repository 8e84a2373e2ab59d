"""Damage that shows in the text."""

import pytest

from steerctl.data._defects import defect


@pytest.mark.parametrize(
    ("prompt", "gold", "expected"),
    [
        ("in the form \x0crac{m}{n}", "3", "form_feed"),
        ("the \x0cfigure", "3", "form_feed"),
        ("$3\times 4$", "12", "lost_macro"),
        ("a\tdraw of\tfor", "12", None),
        ("a_1,\text{...}", "12", "lost_macro"),
        ("180^\\circ$\x0e with", "12", "control_character"),
        ("fine\r\nlines\tand tabs", "12", None),
        ("x", "9007199254740992", None),
        ("x", "9007199254740993", "huge_gold"),
        ("x", "-105263157894736848", "huge_gold"),
        ("x", "1" * 5000, "huge_gold"),
        ("x", "\x0crac{1}{2}", "form_feed"),
        ("x", "\\frac{1}{2}", None),
        ("x", "²", None),
    ],
)
def test_each_reason(prompt, gold, expected):
    assert defect(prompt, gold) == expected
