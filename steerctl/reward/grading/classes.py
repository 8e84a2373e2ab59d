"""Which of several answers to one question are the same answer, for majority votes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from steerctl.reward.grading.extract import MAX_ANSWER
from steerctl.reward.grading.normalise import canonical, normalise, number

_FRACTION = re.compile(r"([-+]?)\\frac\{([-+]?\d+)\}\{(\d+)\}|([-+]?)(\d+)/(\d+)")
_SHORT_FRACTION = re.compile(r"\\frac(\d)(\d)(?!\d)")
_NAME = re.compile(r"[A-Za-z](?:\([a-z]\))?=(?!.*=)")
_MOST_DIGITS = 400


def answer_classes(answers: Sequence[str | None]) -> list[int | None]:
    r"""Class of each answer, numbered from 0 by first appearance; None for no answer.

    Two answers are in one class if they are spelled alike once normalised, or are the same number: `0.5`, `\frac12` and
    `2/4`; `x = 5` and `5`. Equivalence that needs a parser is not looked for: `\sqrt{8}` and `2\sqrt{2}` differ.
    """
    classes: dict[str | Fraction, int] = {}
    keys = {answer: _key(answer) for answer in set(answers) if answer is not None}
    return [None if answer is None else classes.setdefault(keys[answer], len(classes)) for answer in answers]


def _key(answer: str) -> str | Fraction:
    if answer.isdigit() and answer.isascii() and len(answer) <= _MOST_DIGITS:
        return Fraction(int(answer))
    spelling = canonical(normalise(answer[:MAX_ANSWER]))
    spelling = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _NAME.sub("", spelling))
    value = number(spelling)
    if value is not None and abs(value.adjusted()) + len(value.as_tuple().digits) <= _MOST_DIGITS:
        return Fraction(value)
    found = _FRACTION.fullmatch(spelling)
    if found is not None and len(spelling) <= _MOST_DIGITS:
        sign, top, bottom = found.group(1, 2, 3) if found.group(2) else found.group(4, 5, 6)
        if int(bottom):
            return Fraction(int(top), int(bottom)) * (-1 if sign == "-" else 1)
    return spelling.lower() if len(spelling) > 1 and spelling.isalpha() else spelling
