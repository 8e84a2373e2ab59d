"""What can be decided without a parser: equal spelling, equal numbers, per cent signs, the form of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from steerctl.reward.grading import forms
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
    """Right or wrong, and the step that said so.

    If `right` is None a parser must decide whether any of `candidates` equals `gold`.
    """

    right: bool | None
    why: str
    gold: str = ""
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


def compare(answer: str, gold: Gold, relative_tolerance: float, *, per_cent_asked: bool = True) -> Decision:
    """Steps in order: spelling; numbers (integers exactly, others within the tolerance); per cent; the form.

    Args:
        answer: as it was found.
        gold: a readable reference answer.
        relative_tolerance: for two decimal numbers.
        per_cent_asked: the question may want a percentage, so that x % may mean x.
    """
    text, reference = normalise(answer), gold.text or ""
    if not text:
        return Decision(right=False, why="empty answer")
    if canonical(text) == gold.spelling:
        return Decision(right=True, why="same text")
    value = number(text)
    if value is not None and gold.value is not None:
        return Decision(close(value, gold.value, relative_tolerance), why="numbers")
    bare = without_percent(text)
    if bare is not None or gold.bare is not None:
        return _percent(text, bare, gold, relative_tolerance, per_cent_asked=per_cent_asked)
    return _by_form(text, reference, gold)


def close(value: Decimal, gold: Decimal, relative_tolerance: float) -> bool:
    """Equal, or within the tolerance of a reference answer that is no integer."""
    if value == gold:
        return True
    if gold == 0 or abs(value.adjusted() - gold.adjusted()) > 1:
        return False
    if _is_integer(gold):
        return False
    return abs(value - gold) <= abs(gold) * Decimal(relative_tolerance)


def _is_integer(gold: Decimal) -> bool:
    """Written as an integer, be it with zeros after the point; powers of ten are measurements."""
    exponent = gold.as_tuple().exponent
    return exponent == 0 or (isinstance(exponent, int) and exponent < 0 and gold == gold.to_integral_value())


def _by_form(text: str, reference: str, gold: Gold) -> Decision:
    for decide, why in ((forms.bases, "number bases"), (forms.times, "times of day")):
        verdict = decide(text, reference)
        if verdict is not None:
            return Decision(verdict, why=why)
    if gold.value is not None and forms.factors(text):
        return Decision(right=False, why="letters are factors")
    chosen, asked = forms.option(text), forms.option(reference)
    letter = asked[0] if asked and not asked[1] else reference if len(reference) == 1 else ""
    if chosen and letter and letter in "ABCDEFGH":
        return Decision(chosen[0] == letter, why="option")
    reason = forms.differ(text, reference)
    if reason is not None:
        return Decision(right=False, why=reason)
    ours, theirs = forms.alike(text, reference)
    more = (chosen[1],) if chosen and chosen[1] else ()
    return Decision(None, why="parser", gold=theirs, candidates=(ours, *more))


def _percent(text: str, bare: str | None, gold: Gold, relative_tolerance: float, *, per_cent_asked: bool) -> Decision:
    """Both with a sign: without it. One with: x % is x/100, and also x where a percentage may be asked for."""
    reference = gold.text or ""
    ours = number(bare or text)
    theirs = gold.value if gold.bare is None else number(gold.bare)
    if bare is not None and gold.bare is not None:
        if ours is not None and theirs is not None:
            return Decision(close(ours, theirs, relative_tolerance), why="per cent")
        return Decision(None, why="parser", gold=gold.bare, candidates=(bare,))
    as_written = gold.bare is not None or per_cent_asked
    if ours is not None and theirs is not None:
        scaled = (ours / 100, theirs) if bare is not None else (ours, theirs / 100)
        right = (as_written and close(ours, theirs, relative_tolerance)) or close(*scaled, relative_tolerance)
        return Decision(right, why="per cent")
    if bare is not None:
        candidates = (bare, rf"\frac{{{bare}}}{{100}}") if as_written else (rf"\frac{{{bare}}}{{100}}",)
        return Decision(None, why="parser", gold=reference, candidates=candidates)
    return Decision(None, why="parser", gold=gold.bare or "", candidates=(text, rf"100 \cdot ({text})"))
