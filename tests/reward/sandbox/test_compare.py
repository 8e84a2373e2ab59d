"""What counts as the expected value: equality, tolerances, special oracles, printed text."""
# ruff: noqa: E501 (one case a line)

import pytest

from steerctl.reward.sandbox.compare import ORACLES, equal, matches, same_output
from steerctl.reward.sandbox.inside.codec import encode


def accepted(value, wanted, tolerance=None, oracle="", arguments=()):
    return matches(encode(value).encode(), encode(wanted).encode(), arguments, oracle, tolerance)


@pytest.mark.parametrize(
    ("value", "wanted", "right"),
    [
        (1, 1.0, True), (True, 1, True), ((1,), [1], False), ({1: 2, 3: 4}, {3: 4, 1: 2}, True), ("1", 1, False),
        (0.1 + 0.2, 0.3, False), ([1, [2]], [1, [2]], True), (None, False, False), ({1}, {1.0}, True), (b"a", "a", False),
    ],
)  # fmt: skip
def test_without_a_tolerance_python_decides(value, wanted, right):
    assert accepted(value, wanted) is right


@pytest.mark.parametrize(
    ("value", "wanted", "tolerance", "right"),
    [
        (0.1 + 0.2, 0.3, 0, True), (0.3001, 0.3, 0, False), (0.3001, 0.3, 1e-3, True), ([0.1 + 0.2], [0.3], 0, True),
        ((0.3,), [0.3], 0, False), ([0.3, 1], [0.3], 0, False), (3, 4, 1.5, True), (3, 4, 0, False),
        ("0.3", 0.3, 1, False), ([[0.1 + 0.2]], [[0.3]], 0, False), (float("nan"), 0.3, 0, False), (True, 0.9999999, 0, False),
    ],
)  # fmt: skip
def test_tolerances_are_those_of_evalplus(value, wanted, tolerance, right):
    assert accepted(value, wanted, tolerance) is right


@pytest.mark.parametrize(
    ("oracle", "arguments", "wanted", "value", "right"),
    [
        ("same_set", (), (1, 2), [2, 1, 2], True), ("same_set", (), (1, 2), [1], False), ("same_set", (), (1,), 5, False),
        ("not_none", (), True, True, True), ("not_none", (), True, "match", True), ("not_none", (), True, None, False),
        ("not_none", (), None, False, True), ("not_none", (), False, "match", False),
        ("equal_or_zero", (), 7, 0, True), ("equal_or_zero", (), 7, 6, False),
        ("root", ([-6, 11, -6, 1],), 1.0, 3.0, True), ("root", ([-6, 11, -6, 1],), 1.0, 2.5, False),
        ("root", ([0, 0],), 1.0, float("inf"), False), ("root", ([1, 1],), -1.0, "x", False),
        ("digit_distance", (1, 23), 1, 4, True), ("digit_distance", (1, 23), 1, 1, True), ("digit_distance", (1, 23), 1, 2, False),
        ("pyramid_area", (3, 4), 33, 33, True), ("pyramid_area", (3, 4), 33, 35, True), ("pyramid_area", (3, 4), 33, 34, False),
        ("list_for_tuple", (), [1, 2], (1, 2), True), ("list_for_tuple", (), [1, 2], (2, 1), False),
    ],
)  # fmt: skip
def test_special_oracles(oracle, arguments, wanted, value, right):
    assert accepted(value, wanted, 1e-4, oracle, arguments) is right


def test_an_object_fools_no_oracle():
    for oracle in ORACLES:
        assert not accepted(object(), 7, 1e-4, oracle, ([1, 1], 2)) or oracle == "not_none"


@pytest.mark.parametrize(
    "line", [b"", b"nonsense", b"{}", b'{"s":[[]]}', b"[" * 100_000, b'{"i":"zz"}', b"\xff", b'{"d":[[[],1]]}']
)
def test_what_cannot_be_read_is_wrong_and_raises_nothing(line):
    assert not matches(line, encode([1]).encode(), (), "", 0.0)
    assert not matches(line, encode([1]).encode(), (), "same_set", 0.0)


def test_equal_never_calls_code_of_the_value():
    assert not equal("__import__('os')", 1, 0.1)


@pytest.mark.parametrize(
    ("printed", "expected", "right"),
    [
        ("3", "3\n", True), ("3 \n4\n\n", "3\n4", True), ("3.0", "3", True), ("1e1 2", "10 2.00", True), ("3\n", "4", False),
        ("3 4", "3\n4", False), ("", "", True), ("nan", "nan", True), ("nan", "NaN", False), ("Yes", "YES", False),
        ("0.30000000000000004", "0.3", False), ("9" * 300, "9" * 300 + ".0", False),
    ],
)  # fmt: skip
def test_printed_text(printed, expected, right):
    assert same_output(printed.encode(), expected) is right


def test_bytes_that_are_no_text():
    assert not same_output(b"\xff\xfe", "3")
