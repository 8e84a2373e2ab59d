"""Parsed answers taken apart: the parts of containers, coefficients, values, and decimals as they were written.

SymPy is imported only inside functions: the training process imports this module, a worker runs it.
"""

from __future__ import annotations

import re
from typing import Any

_DECIMAL = re.compile(r"(\d*\.\d+|\d+)(?:\s*(?:\\times|\\cdot)\s*10\s*\^\s*\{?\s*([-+]?\d+)\s*\}?)?")


def coefficients(gold: Any, answer: Any) -> list[tuple[Any, Any]] | None:  # noqa: ANN401 (whatever SymPy parsed)
    """Coefficients of two polynomials with the same terms."""
    from sympy import Expr, Poly, PolynomialError  # type: ignore[import-untyped]  # noqa: PLC0415 (SymPy ships no types)

    if not (isinstance(gold, Expr) and isinstance(answer, Expr)) or not gold.free_symbols:
        return None
    symbols = sorted(gold.free_symbols, key=str)
    if answer.free_symbols != gold.free_symbols or len(symbols) > 6:
        return None
    try:
        left, right = Poly(gold.doit(), *symbols).as_dict(), Poly(answer.doit(), *symbols).as_dict()
    except PolynomialError:
        return None
    return [(left[term], right[term]) for term in left] if left.keys() == right.keys() else None


def pairs_of(gold: Any, answer: Any) -> list[tuple[Any, Any]] | None:  # noqa: ANN401 (whatever SymPy parsed)
    """Parts that must be equal one by one; None if the two are not containers of one kind and size."""
    from sympy import FiniteSet, Interval, MatrixBase, Tuple  # noqa: PLC0415

    if isinstance(gold, MatrixBase) and isinstance(answer, MatrixBase):
        same = gold.shape == answer.shape
        return list(zip(gold.flat(), answer.flat(), strict=True)) if same else None
    if isinstance(gold, Interval) and isinstance(answer, Interval):
        same = (gold.left_open, gold.right_open) == (answer.left_open, answer.right_open)
        return [(gold.start, answer.start), (gold.end, answer.end)] if same else None
    if isinstance(gold, Tuple) and isinstance(answer, Tuple) and len(gold) == len(answer):
        return list(zip(gold, answer, strict=True))
    if isinstance(gold, FiniteSet) and isinstance(answer, FiniteSet) and len(gold) == len(answer):
        left, right = _sorted(gold.args), _sorted(answer.args)
        return None if left is None or right is None else list(zip(left, right, strict=True))
    return None


def _sorted(parts: tuple[Any, ...]) -> list[Any] | None:
    values = [value_of(part) for part in parts]
    if any(value is None or value.imag for value in values):
        return None
    return [
        part
        for _, part in sorted(
            zip([value.real for value in values if value is not None], parts, strict=True), key=lambda pair: pair[0]
        )
    ]


def value_of(expression: Any) -> complex | None:  # noqa: ANN401 (whatever SymPy parsed)
    """The number it is, to 15 digits; None for anything else (a per cent, an interval)."""
    if not getattr(expression, "is_number", False):
        return None
    try:
        value = complex(expression.evalf(15))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return value if abs(value) < float("inf") else None


def decimals_in(text: str) -> list[tuple[float, float, int]]:
    """Each decimal in the text: its value, the value of one unit in its last place, its significant digits."""
    found = []
    for match in _DECIMAL.finditer(text[:400]):
        digits, exponent = match.group(1), int(match.group(2) or 0)
        if ("." not in digits and match.group(2) is None) or abs(exponent) > 300 or len(digits) > 40:
            continue
        places = len(digits.partition(".")[2])
        significant = len(digits.replace(".", "").lstrip("0"))
        found.append((float(digits) * 10.0**exponent, 10.0 ** (exponent - places), significant))
    return found


def as_written(value: complex, decimals: tuple[tuple[float, float, int], ...]) -> tuple[float, int] | None:
    """Last place and digits of the decimal that is this number."""
    size = abs(value)
    return next((each[1:] for each in decimals if abs(each[0] - size) <= 1e-12 * size), None) if size else None


def is_integer(expression: Any, value: complex) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
    """An integer, or a plain number with only zeros after the point; a product with a power of ten is a measurement."""
    return bool(getattr(expression, "is_Integer", False)) or (
        abs(value) < 1e15 and value == round(value.real) and not getattr(expression, "is_Mul", False)
    )


def never_ends(expression: Any) -> bool:  # noqa: ANN401 (whatever SymPy parsed)
    """An exact number whose decimals go on for ever: a finite decimal can only be its rounding."""
    from sympy import Float, nsimplify  # noqa: PLC0415

    if expression.has(Float):
        return False
    value = expression.doit() if hasattr(expression, "doit") else expression
    if getattr(value, "is_Rational", False):
        bottom = int(value.q)
        for prime in (2, 5):
            while bottom % prime == 0:
                bottom //= prime
        return bottom != 1
    return getattr(nsimplify(value), "is_Rational", False) is not True
