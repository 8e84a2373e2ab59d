r"""Where the answer stands in a response: the last `\boxed{...}`, a last "Answer:" line, or the text itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from steerctl.types import Status

Where = Literal["boxed", "answer_line", "anywhere"]
MAX_ANSWER = 4096
_MAX_TRIES = 16
_BOX = "\\boxed"
_THOUGHT = "</think>"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_ANY_BRACE = re.compile(r"[{}]")
_ANSWER_LINE = re.compile(r"(?im)^[ \t*>#]{0,8}(?:the )?(?:final )?answer(?: is)?[ \t*]{0,4}:[ \t*]{0,4}(.+)$")


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer as text, or why there is none; `found_in` says how sure it is that all of the text is the answer."""

    answer: str | None
    status: Status = "ok"
    found_in: Literal["box", "line", "prose"] = "box"


def last_boxed(text: str) -> Extraction:
    r"""Content of the last `\boxed{...}` whose braces match; escaped braces do not count.

    Where they match only if escaped ones do count, they count. A box that the end of the text cuts off is passed over
    for the one before it (at most 16 times). A box longer than 4,096 characters is "too_long" and final: regular
    expressions on it would cost seconds.
    """
    end = len(text)
    for _ in range(_MAX_TRIES):
        at = text.rfind(_BOX, 0, end)
        if at < 0:
            break
        end = at
        start = at + len(_BOX)
        head = text[start : start + 8].lstrip()
        if not head.startswith("{"):
            continue
        start = text.index("{", start) + 1
        stop = _closing_brace(text, start)
        stop = _closing_brace(text, start, escaped=True) if stop is None else stop
        if stop is not None:
            return Extraction(text[start:stop].strip())
        if len(text) - start > MAX_ANSWER:
            return Extraction(None, "too_long")
    return Extraction(None, "no_answer")


def extract(text: str, where: Where) -> Extraction:
    r"""The answer in what follows the last `</think>`: the last box, else what `where` allows.

    boxed        nothing else
    answer_line  the last line that begins with "Answer:"
    anywhere     such a line, else the last 4,096 characters for the parser to search
    """
    at = text.rfind(_BOX)
    if (
        at >= 0 and text.find(_THOUGHT, at) < 0 and text.startswith("{", at + len(_BOX))
    ):  # nearly always; long texts unread
        start = at + len(_BOX) + 1
        stop = _closing_brace(text, start)
        if stop is not None:
            return Extraction(text[start:stop].strip())
    tail = text.rpartition(_THOUGHT)[2]
    boxed = last_boxed(tail)
    if boxed.answer is not None or boxed.status == "too_long" or where == "boxed":
        return boxed
    lines = _ANSWER_LINE.findall(tail[-2 * MAX_ANSWER :])
    if lines:
        line = lines[-1].strip()
        return Extraction(line, found_in="line") if len(line) <= MAX_ANSWER else Extraction(None, "too_long")
    if where == "anywhere" and tail.strip():
        return Extraction(tail[-MAX_ANSWER:].strip(), found_in="prose")
    return Extraction(None, "no_answer")


def _closing_brace(text: str, start: int, *, escaped: bool = False) -> int | None:
    r"""Index of the brace that closes the group opened just before `start`, at most 4,096 characters on.

    With `escaped` a backslash before a brace is passed over, as in `\boxed{185\}`.
    """
    limit = min(len(text), start + MAX_ANSWER + 1)
    stop = text.find("}", start, limit)
    if stop < 0:
        return None
    if text.find("{", start, stop) < 0 and text.find("\\", start, stop) < 0:
        return stop
    depth = 1
    for match in (_ANY_BRACE if escaped else _BRACE).finditer(text, start, limit):
        depth += (match.group() == "{") - (match.group() == "}")
        if depth == 0:
            return match.start()
    return None
