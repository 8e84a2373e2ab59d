"""Parsed answers taken apart."""

import pytest
import sympy
from sympy import FiniteSet, Interval, Matrix, Rational, Symbol, Tuple, oo, sqrt

from steerctl.reward.grading import parts

X, Y = sympy.symbols("x y")


def test_pairs():
    assert parts.pairs_of(Tuple(1, X), Tuple(2, Y)) == [(1, 2), (X, Y)]
    assert parts.pairs_of(FiniteSet(3, 1), FiniteSet(1, sqrt(9))) == [(1, 1), (3, 3)]
    assert parts.pairs_of(Interval(0, oo), Interval(1, oo)) == [(0, 1), (oo, oo)]
    assert parts.pairs_of(Matrix([[1, 2]]), Matrix([[3, 4]])) == [(1, 3), (2, 4)]
    for one, other in (
        (Interval(0, 1), Interval.open(0, 1)),
        (Matrix([[1, 2]]), Matrix([[1], [2]])),
        (Tuple(1, 2), Tuple(1, 2, 3)),
        (FiniteSet(1, X), FiniteSet(1, Y)),
        (X, Y),
    ):
        assert parts.pairs_of(one, other) is None


def test_coefficients():
    assert sorted(parts.coefficients(X + 2 * Y, 3 * X + Y)) == [(1, 3), (2, 1)]
    assert parts.coefficients(X**2, X) is None
    assert parts.coefficients(X, Y) is None
    assert parts.coefficients(sympy.Integer(1), sympy.Integer(2)) is None


def test_values():
    assert parts.value_of(Rational(1, 4)) == 0.25
    assert parts.value_of(sympy.I) == 1j
    assert parts.value_of(X) is None
    assert parts.value_of(oo) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("125.663", [(125.663, 0.001, 6)]),
        ("0.0012", [(0.0012, 0.0001, 2)]),
        ("2.50 \\times 10^{3}", [(2500.0, 10.0, 3)]),
        ("12", []),
        ("(1.5, x)", [(1.5, 0.1, 2)]),
        ("1.5 \\times 10^{9999}", []),
    ],
)
def test_decimals(text, found):
    assert parts.decimals_in(text) == [pytest.approx(each) for each in found]


def test_decimals_as_written():
    assert parts.as_written(-125.663, ((125.663, 0.001, 6),)) == (0.001, 6)
    assert parts.as_written(125.664, ((125.663, 0.001, 6),)) is None
    assert parts.as_written(0.0, ((0.0, 0.1, 0),)) is None


def test_kinds_of_numbers():
    assert [
        parts.never_ends(one) for one in (sqrt(2), Rational(1, 3), Rational(3, 8), sympy.Float("0.3"), sqrt(4))
    ] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert parts.is_integer(sympy.Integer(4), 4)
    assert not parts.is_integer(Rational(1, 2), 0.5)
    assert not parts.never_ends(Symbol("k", integer=True) * 0 + 1)
