"""Which answers vote together."""

import time

from hypothesis import given
from hypothesis import strategies as st

from steerctl.reward.grading.classes import answer_classes


def test_same_number_or_same_spelling():
    answers = [
        "1/2",
        "0.5",
        "\\frac{2}{4}",
        "\\frac12",
        "x = 0.50",
        None,
        "\\left( 1, 2 \\right)",
        "(1,2)",
        "(2,1)",
        None,
    ]
    assert answer_classes(answers) == [0, 0, 0, 0, 0, None, 1, 1, 2, None]


def test_spellings():
    assert answer_classes(["1{,}234", "1234", "1234\\text{ cm}", "1.234e3", "1235"]) == [0, 0, 0, 0, 1]
    assert answer_classes(["\\text{East}", "east", "west", "A", "a"]) == [0, 0, 1, 2, 3]
    assert answer_classes(["-\\frac{1}{3}", "-1/3", "\\frac{-1}{3}", "\\frac{1}{3}", "1/0", "2/0"]) == [
        0,
        0,
        0,
        1,
        2,
        3,
    ]
    assert answer_classes(["\\sqrt{8}", "2\\sqrt{2}", "", "."]) == [0, 1, 2, 2]
    assert answer_classes([]) == []


def test_numbers_too_large_to_write_out_are_quick():
    begin = time.perf_counter()
    found = answer_classes(["1e999999999", "1e999999998", "9" * 4000, "1" * 100_000, "1e999999999"])
    assert found == [0, 1, 2, 3, 0]
    assert time.perf_counter() - begin < 0.5


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=20))
def test_classes_are_numbered_in_order(answers):
    found = answer_classes(answers)
    seen = [one for one in found if one is not None]
    assert [one is None for one in found] == [answer is None for answer in answers]
    assert list(dict.fromkeys(seen)) == list(range(len(set(seen))))
    assert all(found[i] == found[answers.index(answer)] for i, answer in enumerate(answers))
