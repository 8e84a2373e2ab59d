"""YAML scalars, positions and bounds; merging."""

from __future__ import annotations

import contextlib
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.errors import SpecError
from steerctl.spec import tree
from steerctl.spec.tree import Origin, from_plain, merge, nearest, parse, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-6", 2e-6),
        ("1e-6", 1e-6),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("n", "n"),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-02", "2024-01-02"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("'1e-6'", "1e-6"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = parse(f"key: {text}\n", "f.yaml").value
    assert isinstance(read, dict)
    assert read["key"].value == value
    assert type(read["key"].value) is type(value)


def test_every_value_knows_its_line() -> None:
    root = parse("a:\n  b: 1\n  c:\n    - x\n    - d: 2\n", "f.yaml")
    assert str(nearest(root, ("a",))) == "f.yaml:1"
    assert str(nearest(root, ("a", "b"))) == "f.yaml:2"
    assert str(nearest(root, ("a", "c"))) == "f.yaml:3"
    assert str(nearest(root, ("a", "c", 0))) == "f.yaml:4"
    assert str(nearest(root, ("a", "c", 1, "d"))) == "f.yaml:5"
    assert str(nearest(root, ("a", "c", 7))) == "f.yaml:3", "what is absent stands where its list stands"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: [1, 2\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "tabs"),
        ("a: 1\nb: 2\na: 3\n", 3, "a: given twice, first on line 1"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tags"),
        ("a: !!float 1\n", 1, "tags"),
        ("a: &x [*x]\n", 1, "nested more than"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, "document"),
        ("? [1, 2]\n: 3\n", 1, "a key must be a word"),
        ("a: " + "9" * 200 + "\n", 1, "digits"),
        ("a: " + "[" * 60 + "]" * 60, 1, "nested more than 50 deep"),
        ("a: 1\nb: \x01\n", 2, "not allowed"),
    ],
)
def test_refusals_name_the_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: "), str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    start = time.process_time()
    with pytest.raises(SpecError, match="more than 100000 values"):
        parse("\n".join(lines), "f.yaml")
    assert time.process_time() - start < 5


def test_deep_nesting_is_refused_before_the_stack_ends() -> None:
    with pytest.raises(SpecError, match="nested more than"):
        parse("[" * 100_000, "f.yaml")


def test_merge_by_hand() -> None:
    below = from_plain({"a": {"x": 1, "y": [1, 2]}, "p": {"kind": "one", "k": 1}}, Origin("below", 1))
    above = from_plain({"a": {"y": [3]}, "p": {"kind": "two"}}, Origin("above", 2))
    merged = merge(below, above)
    assert plain(merged) == {"a": {"x": 1, "y": [3]}, "p": {"kind": "two"}}
    assert str(nearest(merged, ("a", "x"))) == "below:1"
    assert str(nearest(merged, ("a", "y"))) == "above:2"
    same = merge(below, from_plain({"p": {"kind": "one", "j": 2}}, Origin("above", 2)))
    assert plain(same)["p"] == {"kind": "one", "k": 1, "j": 2}


@given(MAPPINGS, MAPPINGS)
def test_what_is_above_wins_and_merging_it_again_changes_nothing(below: dict, above: dict) -> None:
    origin = Origin("x", 1)
    merged = merge(from_plain(below, origin), from_plain(above, origin))
    assert merge(merged, from_plain(above, origin)) == merged
    for key, value in above.items():
        if not isinstance(value, dict):
            assert plain(merged)[key] == value


@given(MAPPINGS)
def test_plain_undoes_from_plain(value: dict) -> None:
    assert plain(from_plain(value, Origin("x"))) == value


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(parse(text, "f.yaml").origin.line, int)


def test_find_does_not_count_from_the_end() -> None:
    assert tree.find(from_plain({"a": [1]}, Origin("x")), ("a", -1)) is None
