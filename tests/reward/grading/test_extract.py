"""Where the answer stands."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.reward.grading.extract import MAX_ANSWER, extract, last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{42}", "42"),
        ("\\boxed{10} and then \\boxed{ 42 }.", "42"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{\\left\\{ x \\right.}", "\\left\\{ x \\right."),
        ("\\boxed{a\\\\{b}}", "a\\\\{b}"),
        ("\\boxed {7}", "7"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("\\boxed{5} so \\boxed{1", "5"),
        ("\\boxed{}", ""),
        ("\\boxed{1" + "0" * (MAX_ANSWER - 1) + "}", "1" + "0" * (MAX_ANSWER - 1)),
    ],
)
def test_last_boxed(text, answer):
    assert last_boxed(text).answer == answer


@pytest.mark.parametrize(
    ("text", "status"),
    [("42", "no_answer"), ("", "no_answer"), ("\\boxed 5", "no_answer"), ("\\boxed{" + "1" * 4097 + "}", "too_long")],
)
def test_no_box(text, status):
    found = last_boxed(text)
    assert (found.answer, found.status) == (None, status)


def test_only_what_follows_the_last_thought_counts():
    text = "<think>\\boxed{1}</think> it is \\boxed{2} <think> \\boxed{3} </think> nothing"
    assert extract(text, "boxed").answer is None
    assert extract(text + " \\boxed{4}", "boxed").answer == "4"


def test_outside_a_box_as_far_as_allowed():
    text = "Answer: 41 was a guess.\n**Final Answer: $42$"
    assert extract(text, "boxed").answer is None
    assert extract(text, "answer_line").answer == "$42$"
    assert extract("it is 42", "answer_line").answer is None
    prose = extract("it is 42", "anywhere")
    assert (prose.answer, prose.found_in) == ("it is 42", "prose")
    assert extract("\\boxed{1}\nAnswer: 2", "anywhere").answer == "1"


@pytest.mark.parametrize(
    "hostile", ["\\boxed{" * 20_000, "\\boxed{" + "{" * 100_000, "\\boxed" * 50_000, "Answer: " * 9_000]
)
def test_hostile_text_is_quick(hostile):
    begin = time.perf_counter()
    extract(hostile, "anywhere")
    assert time.perf_counter() - begin < 0.5


@given(st.text(alphabet="\\boxed{} \n1x$<>/think:Answer"))
def test_any_text_gives_an_extraction(text):
    found = extract(text, "anywhere")
    assert (found.answer is None) == (found.status != "ok")
