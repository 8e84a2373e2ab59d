"""The generator is a pure function of its arguments, its splits cannot meet, and the plug-in is the generator."""

import dataclasses
from collections import Counter

import pytest
from pydantic import ValidationError

from steerctl.data.arithmetic import (
    TINY_LEVELS,
    Arithmetic,
    ArithmeticLevel,
    ArithmeticParams,
    Level,
    generate,
    running_totals,
    split_of,
)
from steerctl.errors import DataError

PARAMS = ArithmeticParams()


def solve_by_hand(text):
    """An independent reading of `a+b-c=?` (no `*`), for comparison with the generator's own answer."""
    chain = text.removesuffix("=?").replace("-", "+-")
    return sum(int(term) for term in chain.split("+"))


def test_answers_are_right_and_totals_stay_in_range():
    for problem in generate(PARAMS, "train", 400, seed=3):
        assert problem.text.endswith("=?")
        assert problem.answer == solve_by_hand(problem.text)
        assert 0 <= problem.answer <= 99


def test_same_arguments_same_list_and_another_seed_another_list():
    first = generate(PARAMS, "train", 50, seed=1)
    assert first == generate(PARAMS, "train", 50, seed=1)
    assert first[:20] == generate(PARAMS, "train", 20, seed=1)
    assert first != generate(PARAMS, "train", 50, seed=2)


def test_splits_never_meet_whatever_seed_and_mix():
    only_short = dataclasses.replace(PARAMS, levels=TINY_LEVELS[:1])
    train = {
        p.text for params in (PARAMS, only_short) for seed in range(3) for p in generate(params, "train", 500, seed)
    }
    test = {p.text for params in (PARAMS, only_short) for seed in range(3) for p in generate(params, "test", 100, seed)}
    assert not train & test
    rule = {"test_fraction": PARAMS.test_fraction, "split_key": PARAMS.split_key}
    assert {split_of(text, **rule) for text in train} == {"train"}
    assert {split_of(text, **rule) for text in test} == {"test"}


def test_split_is_a_function_of_text_and_key_alone():
    golden = {"57+8=?": "train", "41-8-5=?": "test", "3+4=?": "train"}
    assert {text: split_of(text, test_fraction=0.1, split_key="steerctl/arithmetic/1") for text in golden} == golden
    texts = [f"{a}+{b}=?" for a in range(1, 100) for b in range(1, 10)]
    splits = Counter(split_of(text, test_fraction=0.1, split_key="steerctl/arithmetic/1") for text in texts)
    assert 0.07 < splits["test"] / len(texts) < 0.13
    other = [split_of(text, test_fraction=0.1, split_key="another") for text in texts]
    assert other != [split_of(text, test_fraction=0.1, split_key="steerctl/arithmetic/1") for text in texts]


def test_texts_are_distinct_and_levels_follow_their_weights():
    problems = generate(PARAMS, "train", 1000, seed=0)
    assert len({p.text for p in problems}) == 1000
    shares = Counter(p.level for p in problems)
    total = sum(level.weight for level in TINY_LEVELS)
    for level in TINY_LEVELS:
        assert abs(shares[level.name] / 1000 - level.weight / total) < 0.06


@pytest.mark.parametrize(
    ("numbers", "operators", "totals"),
    [((2, 3, 4, 5), "+*-", (2, 14, 9)), ((7,), "", (7,)), ((2, 3, 4), "**", (24,)), ((9, 8, 7), "--", (9, 1, -6))],
)
def test_running_totals(numbers, operators, totals):
    assert running_totals(numbers, operators) == totals


def test_products_are_generated_with_the_usual_precedence():
    level = ArithmeticLevel("products", 1.0, (3, 3), later=(2, 9), operators="*+", results=(0, 9999))
    problems = generate(ArithmeticParams(levels=(level,)), "train", 100, seed=0)
    mixed = [p for p in problems if "+" in p.text and "*" in p.text.split("+", 1)[1]]
    assert mixed
    for problem in mixed:
        left, right = problem.text.removesuffix("=?").split("+", 1)
        factors = [int(factor) for factor in right.split("*")]
        assert problem.answer == int(left) + factors[0] * factors[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"levels": ()}, "at least one level"),
        ({"test_fraction": 1.0}, "between 0 and 1"),
        ({"levels": (ArithmeticLevel("x", 0.0, (2, 2)),)}, "weight 0"),
        ({"levels": (ArithmeticLevel("x", 1.0, (3, 2)),)}, "smaller first"),
        ({"levels": (ArithmeticLevel("x", 1.0, (0, 2)),)}, "at least one operand"),
        ({"levels": (ArithmeticLevel("x", 1.0, (2, 2), operators="+/"),)}, "characters of"),
        ({"levels": (ArithmeticLevel("x", 1.0, (2, 2), first=(1, 1), later=(1, 2)),)}, "fewer problems"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(change, words):
    with pytest.raises(DataError, match=words) as caught:
        generate(dataclasses.replace(PARAMS, **change), "train", 50, seed=0)
    assert "\n" not in str(caught.value)


def test_the_plug_in_generates_what_the_core_does():
    loaded = Arithmetic(split="test", count=50, seed=3).load()
    core = generate(ArithmeticParams(), "test", 50, 3)
    assert [(one.prompt[0].content, one.gold, one.info["level"]) for one in loaded.problems] == [
        (one.text, str(one.answer), one.level) for one in core
    ]
    assert len({one.id for one in loaded.problems}) == 50
    assert loaded.problems[0].id == "arithmetic/" + core[0].text.removesuffix("=?")
    assert loaded.dropped == {}


def test_the_plug_in_has_the_defaults_of_the_core():
    assert Arithmetic().params == ArithmeticParams()
    spare = Level(name="x", weight=1.0, operands=(2, 3))
    assert Arithmetic(levels=[spare]).params.levels == (ArithmeticLevel("x", 1.0, (2, 3)),)


def test_the_plug_in_reads_lists_and_refuses_what_is_not_a_number():
    level = {"name": "x", "weight": 1, "operands": [2, 3], "operators": "*", "results": [0, 9999]}
    spec = Arithmetic.model_validate({"kind": "arithmetic", "levels": [level], "count": 5})
    assert all("*" in one.prompt[0].content for one in spec.load().problems)
    with pytest.raises(ValidationError, match="operands"):
        Arithmetic.model_validate({"levels": [{**level, "operands": ["2", "3"]}]})
    with pytest.raises(ValidationError, match="levels"):
        Arithmetic.model_validate({"levels": []})
