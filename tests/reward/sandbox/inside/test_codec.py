"""Values survive the way out of the sandbox, and nothing else does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from steerctl.reward.sandbox.inside.codec import Opaque, decode, encode

leaves = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text() | some.binary()
    | some.complex_numbers(allow_nan=False)
)  # fmt: skip
keys = some.integers() | some.text() | some.tuples(some.text(), some.integers())
values = some.recursive(
    leaves,
    lambda inner: (
        some.lists(inner) | some.tuples(inner, inner) | some.dictionaries(keys, inner) | some.frozensets(keys)
    ),
    max_leaves=12,
)


def types_of(value):
    if isinstance(value, list | tuple):
        return [type(value), *map(types_of, value)]
    return set if isinstance(value, set | frozenset) else type(value)


@given(values)
def test_a_value_comes_back_equal_and_of_the_same_type(value):
    back = decode(encode(value))
    assert back == value
    assert types_of(back) == types_of(value)
    assert "\n" not in encode(value)
    assert encode(value).isascii()


def test_numbers_at_the_edge():
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(-math.inf)) == -math.inf
    assert decode(encode(7**20000)) == 7**20000
    assert decode(encode(1)) is not True
    assert encode({3, 1, 2}) == encode({2, 1, 3})


def test_what_is_not_plain_equals_nothing():
    class Everything:
        def __eq__(self, other):
            return True

        __hash__ = None

    back = decode(encode(Everything()))
    assert isinstance(back, Opaque)
    assert all(back != other for other in (back, 1, Everything))
    assert isinstance(decode(encode([print]))[0], Opaque)
    assert decode(encode([int, str])) == [int, str]


def test_a_subclass_is_sent_as_what_it_holds():
    class Sly(int):
        def __repr__(self):
            return "8"

        __str__ = __repr__

    class List(list):
        def __iter__(self):
            return iter([9])

    assert decode(encode(Sly(7))) == 7
    assert decode(encode(List([7]))) == [7]


@pytest.mark.parametrize(
    "text", ['{"x":1}', '{"t":1}', '{"s":[[1]]}', '{"d":[1]}', '{"c":[1]}', "{}", '{"type":"open"}', "[" * 99999]
)
def test_what_encode_does_not_write_is_refused(text):
    with pytest.raises((ValueError, TypeError, IndexError, RecursionError)):
        decode(text)


def test_depth_and_cycles_end_in_an_error():
    deep, cycle = [], []
    for _ in range(10**5):
        deep = [deep]
    cycle.append(cycle)
    for each in (deep, cycle):
        with pytest.raises(RecursionError):
            encode(each)
