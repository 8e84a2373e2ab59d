"""Problems with their prompts; what is too long is left out and counted."""

import pytest

from steerctl.data import ProblemSet
from steerctl.data.tokenise import prepare
from steerctl.errors import DataError
from steerctl.types import Message, Problem


class Letters:
    chat_template = None

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        raise AssertionError("there is no chat template")

    def encode(self, text, *, add_special_tokens):
        return [ord(character) for character in text]


def problem(text):
    return Problem(f"p/{text}", (Message("user", text),), "0", "p")


def test_long_and_empty_prompts_are_dropped_and_counted():
    given = ProblemSet([problem("ab"), problem("abcdef"), problem(""), problem("abc")], {"duplicate": 4})
    prepared = prepare(given, Letters(), "plain", max_prompt_tokens=3)
    assert [one.id for one in prepared.problems] == ["p/ab", "p/abc"]
    assert prepared.prompt_ids == [(97, 98), (97, 98, 99)]
    assert prepared.dropped == {"duplicate": 4, "long_prompt": 1, "empty_prompt": 1}


def test_the_problem_kept_is_the_problem_asked():
    prepared = prepare(ProblemSet([problem("ab")]), Letters(), "boxed", max_prompt_tokens=200)
    text = prepared.problems[0].prompt[0].content
    assert text.startswith("ab\n\nPlease reason")
    assert prepared.prompt_ids[0] == tuple(map(ord, text))


def test_nothing_left_is_an_error_that_says_why():
    with pytest.raises(DataError, match=r"no problem is left .*1 long_prompt.*max_prompt_tokens"):
        prepare(ProblemSet([problem("abcdef")]), Letters(), "plain", max_prompt_tokens=3)
