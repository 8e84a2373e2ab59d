"""What can be decided without a parser: equal spelling, equal numbers, one per cent sign."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from steerctl.reward.grading.extract import MAX_ANSWER, last_boxed
from steerctl.reward.grading.normalise import canonical, normalise, number, without_percent


@dataclass(frozen=True, slots=True)
class Gold:
    """A reference answer made ready once.

    text      normalised, or None if a box around it would not be read back as it is (empty, too long, unmatched brace)
    spelling  for comparing texts
    value     if it is a number
    bare      without its per cent sign, if it has one
    """

    text: str | None
    spelling: str = ""
    value: Decimal | None = None
    bare: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Right or wrong, and the step that said so; `right` None: a parser must decide, on any of `candidates`."""

    right: bool | None
    why: str
    candidates: tuple[str, ...] = ()


@lru_cache(maxsize=65536)
def gold_of(gold: str) -> Gold:
    r"""The reference answer in this text, which may stand in a `\boxed{}`."""
    boxed = last_boxed(gold).answer if "\\boxed" in gold else None
    raw = gold.strip() if boxed is None else boxed
    if len(raw) > MAX_ANSWER:
        return Gold(None)
    text = normalise(raw)
    if not text or last_boxed(f"\\boxed{{{text}}}").answer != text:
        return Gold(None)
    return Gold(text, canonical(text), number(text), without_percent(text))


def plain_integers(answer: str, gold: str) -> bool | None:
    """Whether two plain integers are equal; None if either is something else. Digits only, so it is exact and quick."""
    if not (answer.isdigit() and answer.isascii() and gold.isdigit() and gold.isascii()):
        return None
    return answer == gold or answer.lstrip("0") == gold.lstrip("0")


def compare(answer: str, gold: Gold, relative_tolerance: float) -> Decision:
    """Steps in order: spelling; numbers (integers exactly, others within the tolerance); per cent on one side."""
    text = normalise(answer)
    if not text:
        return Decision(right=False, why="empty answer")
    if canonical(text) == gold.spelling:
        return Decision(right=True, why="same text")
    value = number(text)
    if value is not None and gold.value is not None:
        return Decision(_close(value, gold.value, relative_tolerance), why="numbers")
    bare = without_percent(text)
    if (bare is None) == (gold.bare is None):
        return Decision(None, why="parser", candidates=(text,))
    return _percent(text, bare, gold.value if gold.bare is None else number(gold.bare), relative_tolerance)


def _percent(text: str, bare: str | None, theirs: Decimal | None, relative_tolerance: float) -> Decision:
    """A per cent sign on one side: x % is accepted for x and for x/100, the two ways such questions are asked."""
    ours = number(bare or text)
    if ours is not None and theirs is not None:
        scaled = (ours / 100, theirs) if bare is not None else (ours, theirs / 100)
        right = _close(ours, theirs, relative_tolerance) or _close(*scaled, relative_tolerance)
        return Decision(right, why="per cent")
    if bare is not None:
        return Decision(None, why="parser", candidates=(bare, rf"\frac{{{bare}}}{{100}}"))
    return Decision(None, why="parser", candidates=(text, rf"100 \cdot ({text})"))


def _close(value: Decimal, gold: Decimal, relative_tolerance: float) -> bool:
    if value == gold:
        return True
    if gold == 0 or abs(value.adjusted() - gold.adjusted()) > 1:
        return False
    if gold.as_tuple().exponent == 0:  # written as an integer
        return False
    return abs(value - gold) <= abs(gold) * Decimal(relative_tolerance)
