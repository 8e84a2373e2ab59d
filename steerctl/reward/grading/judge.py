r"""Two parsed answers compared: math-verify's verdict, corrected where it only rounds, widened for rounded decimals.

SymPy and math-verify are imported only inside functions: the training process imports this module, a worker runs it.

Corrections: 1. math-verify rounds to six decimals, so it takes 2^-99 for 2^-98; small numbers are compared relatively,
also inside tuples, sets and matrices. Widenings: 2. a reference answer written with at least four significant digits
is a rounded number: an irrational or periodic answer within one unit of its last digit is right; 3. an answer of at
least six significant digits is right if it is the exact reference answer correctly rounded; 4. a decimal reference
answer that is no integer has the verifier's relative tolerance; 5. the letter i is the imaginary unit.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from steerctl.reward.grading.normalise import canonical
from steerctl.reward.grading.parts import (
    as_written,
    coefficients,
    decimals_in,
    is_integer,
    never_ends,
    pairs_of,
    value_of,
)

SECONDS = 2
_SMALL = 5e-3


class Undecided(Exception):
    """No verdict; `status` as in types.Status."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Expired(BaseException):
    """Processor time is used up; no `except Exception` of SymPy's may swallow it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was read: SymPy expressions, or text where nothing could be; `decimals`: (value, last place, digits).

    spelling  the text by which two answers that could not be read are compared; None for prose
    """

    expressions: tuple[Any, ...]
    decimals: tuple[tuple[float, float, int], ...]
    spelling: str | None


def parse_answer(text: str, *, anywhere: bool) -> Parsed:
    """What math-verify reads: in `text` as one formula, or in prose with an answer somewhere. Raises Undecided."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse  # noqa: PLC0415

    formula = LatexExtractionConfig(boxed_match_priority=50 if anywhere else 0)
    with _limited("reading"):
        if anywhere:
            both = [formula, ExprExtractionConfig()]
            found = parse(_without_plus(text), both, parsing_timeout=None, raise_on_error=True)
        else:
            source = f"\\boxed{{{readable(text)}}}"
            found = parse(source, [formula], extraction_mode="first_match", parsing_timeout=None, raise_on_error=True)
    return Parsed(tuple(found), tuple(decimals_in(text)), None if anywhere else canonical(text))


def readable(text: str) -> str:
    r"""Without what math-verify's grammar takes for something else: `E_1` (no letter), `\gamma(` (a function)."""
    text = re.sub(r"(?<![A-Za-z\\])E(?=\s*_)", r"\\Xi ", text)
    text = re.sub(r"\\gamma(?![A-Za-z])", r"\\varsigma ", text)
    return re.sub(r"_\s*(?:\{\s*)?\\(?:text|mathrm|rm|mbox)\s*\{\s*(\w+)\s*\}(?:\s*\})?", r"_{\1}", text)


def _without_plus(text: str) -> str:
    return re.sub(r"(?<![\w)}\]])\+(?=\d)", "", text)


def equal(gold: Parsed, answer: Parsed, relative_tolerance: float) -> bool:
    """The verdict. Raises Undecided."""
    left, right = list(gold.expressions), list(answer.expressions)
    with _limited("comparing"):
        if not left or not right or isinstance(left[0], str) or isinstance(right[0], str):
            return gold.spelling == answer.spelling if answer.spelling is not None else _verify(left, right)
        verdict = not _disproved(left[0], right[0]) and _verify(left, right)
        comparison = _Comparison(gold, answer, relative_tolerance)
        if verdict:
            return not comparison.only_rounded(left[0], right[0])
        return comparison.close(left[0], right[0]) or _equal_as_complex(left[0], right[0])


@contextmanager
def _limited(what: str) -> Iterator[None]:
    """At most 2 s of processor time, not of the clock: a verdict does not depend on what else the machine does."""

    def expire(*_: object) -> None:
        raise _Expired

    before = signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    except _Expired:
        raise Undecided("timeout", f"{what} took over {SECONDS} s") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def as_published(text: str, gold: str) -> bool:
    """math-verify with its own settings, on the whole response. Raises Undecided."""
    from math_verify import parse, verify  # noqa: PLC0415
    from math_verify.errors import TimeoutException  # noqa: PLC0415

    try:
        reference = parse(f"\\boxed{{{gold}}}", raise_on_error=True)
        return bool(verify(reference, parse(text, raise_on_error=True), raise_on_error=True))
    except TimeoutException:
        raise Undecided("timeout", "over 5 s for one step") from None


class _Comparison:
    """One pair of answers with how exactly their decimals were written."""

    def __init__(self, gold: Parsed, answer: Parsed, relative_tolerance: float) -> None:
        self._gold, self._answer, self._tolerance = gold.decimals, answer.decimals, relative_tolerance

    def only_rounded(self, gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
        """Equal only to six decimals, here or in some part."""
        pairs = pairs_of(gold, answer)
        if pairs is not None:
            return any(self.only_rounded(*pair) for pair in pairs)
        exact, given = value_of(gold), value_of(answer)
        if exact is None or given is None:
            return False
        return abs(exact) < _SMALL and abs(given) < _SMALL and abs(exact - given) > 1e-4 * abs(exact)

    def close(self, gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
        """Equal as decimals are read, here or in every part."""
        pairs = pairs_of(gold, answer)
        if pairs is None and (self._gold or self._answer):
            pairs = coefficients(gold, answer)
        if pairs is not None:
            return all(self._part(*pair) for pair in pairs)
        exact, given = value_of(gold), value_of(answer)
        if exact is None or given is None:
            return False
        return self._numbers(gold, answer, exact, given)

    def _part(self, gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
        if _verify([gold], [answer]):
            return not self.only_rounded(gold, answer)
        return self.close(gold, answer)

    def _numbers(self, gold: Any, answer: Any, exact: complex, given: complex) -> bool:  # noqa: ANN401
        theirs, ours = as_written(exact, self._gold), as_written(given, self._answer)
        difference = abs(exact - given)
        if theirs is not None and not is_integer(gold, exact):
            place, digits = theirs
            if difference <= self._tolerance * abs(exact):
                return True
            return ours is None and digits >= 4 and difference < place and never_ends(answer)
        if theirs is None and ours is not None:
            place, digits = ours
            return digits >= 6 and difference <= place / 2 * (1 + 1e-9) and never_ends(gold)
        return False


def _verify(gold: list[Any], answer: list[Any]) -> bool:
    from math_verify import verify  # noqa: PLC0415

    return bool(verify(gold, answer, timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True))


def _disproved(gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
    """Two formulas with different values at a point are not equal: cheap, where simplification can take seconds."""
    from sympy import Eq, Expr, Rational, Symbol, UnevaluatedExpr  # type: ignore[import-untyped]  # noqa: PLC0415 (SymPy ships no types)

    pairs = pairs_of(gold, answer)
    if pairs is not None:
        return any(_disproved(*pair) for pair in pairs)
    if isinstance(gold, Eq) and isinstance(answer, Eq) and gold.lhs == answer.lhs and isinstance(gold.lhs, Symbol):
        solved = gold.lhs not in gold.rhs.free_symbols | answer.rhs.free_symbols
        return solved and _disproved(gold.rhs, answer.rhs)
    if not all(isinstance(each, Expr) and not isinstance(each, Symbol) for each in (gold, answer)):
        return False
    if gold.has(UnevaluatedExpr) or answer.has(UnevaluatedExpr):  # a per cent sign, with rules of its own
        return False
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {symbol: Rational(3 * index + 7, 11) for index, symbol in enumerate(symbols)}
    try:
        exact, given = complex(gold.evalf(15, subs=point)), complex(answer.evalf(15, subs=point))
    except (TypeError, ValueError, ArithmeticError, AttributeError):  # no number there: nothing is shown
        return False
    difference, size = abs(exact - given), max(abs(exact), abs(given))
    return difference > 1e-5 and difference > 1e-5 * size and size < float("inf")


def _equal_as_complex(gold: Any, answer: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
    """With the letter i read as the imaginary unit, unless it counts the terms of a sum."""
    from sympy import Basic, I, Product, Sum  # noqa: PLC0415

    if not (isinstance(gold, Basic) and isinstance(answer, Basic)):
        return False
    letters = {letter: I for side in (gold, answer) for letter in side.free_symbols if letter.name == "i"}
    if not letters or gold.has(Sum, Product) or answer.has(Sum, Product):
        return False
    return _verify([gold.subs(letters)], [answer.subs(letters)])
