"""Is what the code returned what it should have returned? Decided here, on literals, outside the untrusted process.

Values are equal if Python says so (1 == 1.0, [1] != (1,)). A tolerance, if the data set has one, is EvalPlus's:
|returned - expected| <= tolerance + 1e-7 |expected|, with 1e-6 for tolerance 0 where a float or a list of floats
is expected. Special oracles are for questions with more than one right answer.

Source: EvalPlus v0.3.1, `evalplus/eval/__init__.py` and `_special_oracle.py` (oracles and their tasks). Departures: 1.
a root x is accepted if |p(x)| <= tolerance + 1e-14 Σ|c x^i|, summed exactly, instead of p(x) <= tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from steerctl.reward.sandbox.inside.codec import decode

_RELATIVE = 1e-7
_FLOATS = 1e-6
_ROUNDING = 1e-14
MAX_ORACLE_DIGITS = 5000
"""Of an integer in an oracle's arithmetic."""

Oracle = Callable[[Sequence[Any], Any, Any, float], bool]
"""(arguments, expected, returned, tolerance) -> accepted."""


def matches(returned: bytes, expected: bytes, arguments: Sequence[Any], oracle: str, tolerance: float | None) -> bool:
    """Whether an encoded value is accepted. Anything that cannot be read is not; never raises.

    returned, expected  lines of codec.py
    oracle              a name of ORACLES, or "" for equality
    tolerance           None: exact
    """
    if returned == expected and not oracle:
        return True
    try:
        value, wanted = decode(returned), decode(expected)
        if oracle:
            return bool(ORACLES[oracle](arguments, wanted, value, tolerance or 0.0))
        return equal(value, wanted, tolerance)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError, MemoryError):
        return False


def equal(value: Any, wanted: Any, tolerance: float | None) -> bool:  # noqa: ANN401 (any literal)
    """Python's equality, or nearness where numbers are expected and a tolerance is given."""
    if bool(value == wanted):
        return True
    if tolerance is None or (tolerance == 0 and not _all_floats(wanted)):
        return False
    return _near(value, wanted, tolerance or _FLOATS)


def _near(value: Any, wanted: Any, tolerance: float) -> bool:  # noqa: ANN401 (any literal)
    if isinstance(wanted, list | tuple):
        if type(value) is not type(wanted) or len(value) != len(wanted):
            return False
        return all(_near(each, other, tolerance) for each, other in zip(value, wanted, strict=True))
    if not (_is_number(value) and _is_number(wanted)):
        return bool(value == wanted)
    return bool(value == wanted or abs(value - wanted) <= tolerance + _RELATIVE * abs(wanted))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def _all_floats(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def _same_set(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401, ARG001
    return set(value) == set(wanted)


def _not_none(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401, ARG001
    """The expected answer is whether there is one; a truth value is compared as such, a match object is one."""
    there = wanted if isinstance(wanted, bool) else wanted is not None
    return value == there if isinstance(value, bool) else (value is not None) == there


def _equal_or_zero(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401, ARG001
    return bool(value == wanted) or value == 0


def _root(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401, ARG001
    """HumanEval/32: any root of the polynomial whose coefficients, lowest first, are given; rounding is allowed for."""
    if not _is_number(value) or isinstance(value, complex) or not math.isfinite(value):
        return False
    terms = [each * math.pow(value, power) for power, each in enumerate(arguments[0])]
    return abs(math.fsum(terms)) <= tolerance + _ROUNDING * math.fsum(map(abs, terms))


def _pyramid_area(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401
    """Mbpp/581: from the slant height, as the reference has it, or from the height, as the text can be read."""
    base, height = arguments
    area = round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))
    return equal(value, wanted, tolerance) or abs(value - area) <= tolerance


def _digit_distance(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401
    """Mbpp/558: digits aligned at the left, as the reference has them, or at the right with zeros in front."""
    first, second = (str(each) for each in arguments[:2])
    width = max(len(first), len(second))
    if equal(value, wanted, tolerance) or width > MAX_ORACLE_DIGITS:
        return equal(value, wanted, tolerance)
    pairs = zip(first.zfill(width), second.zfill(width), strict=True)
    return bool(value == sum(abs(int(one) - int(other)) for one, other in pairs))


def _list_for_tuple(arguments: Sequence[Any], wanted: Any, value: Any, tolerance: float) -> bool:  # noqa: ANN401, ARG001
    """LiveCodeBench: JSON has no tuples."""
    return bool((list(value) if isinstance(value, tuple) else value) == wanted)


ORACLES: Final[dict[str, Oracle]] = {
    "same_set": _same_set,
    "not_none": _not_none,
    "equal_or_zero": _equal_or_zero,
    "root": _root,
    "pyramid_area": _pyramid_area,
    "digit_distance": _digit_distance,
    "list_for_tuple": _list_for_tuple,
}


def same_output(printed: bytes, expected: str) -> bool:
    """Whether a program printed what was expected: line by line without trailing spaces, else number by number.

    Source: LiveCodeBench, `lcb_runner/evaluation/testing_util.py`, grade_stdio (strip, lines, then Decimal by Decimal).
    """
    text = printed.decode("utf-8", "replace")
    lines = [line.strip() for line in text.strip().split("\n")]
    wanted = [line.strip() for line in expected.strip().split("\n")]
    if lines == wanted:
        return True
    if len(lines) != len(wanted):
        return False
    return all(one == other or _same_numbers(one, other) for one, other in zip(lines, wanted, strict=True))


def _same_numbers(line: str, wanted: str) -> bool:
    parts, others = line.split(), wanted.split()
    if len(parts) != len(others):
        return False
    try:
        return all(_number(one) == _number(other) for one, other in zip(parts, others, strict=True))
    except ValueError:
        return False


def _number(text: str) -> Any:  # noqa: ANN401 (Decimal, imported where it is needed)
    from decimal import Decimal, InvalidOperation  # noqa: PLC0415

    if len(text) > 200:
        raise ValueError("not a number that is worth reading")
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not found.is_finite():
        raise ValueError(text)
    return found
