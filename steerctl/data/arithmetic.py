"""Seeded arithmetic problems whose train and test halves cannot meet.

A problem is a chain such as `57+8-3=?`. Membership of a split is a pure function of the problem's text: a keyed hash of
the text, read as a fraction, is below `test_fraction` or not. Nothing has to be remembered to keep the splits disjoint,
whatever the seed, the count or the mix of levels.

The answer convention, shared with the tiny policy and the verifier (steerctl/reward/arithmetic.py, which reads it): a
response ends in `####` and the integer.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field

from steerctl.data import Dataset, ProblemSet
from steerctl.errors import DataError
from steerctl.plugins import Strict
from steerctl.types import Message, Problem

Split = Literal["train", "test"]
Pair = Annotated[tuple[int, int], Field(strict=False)]

_ATTEMPTS = 20_000


@dataclass(frozen=True, slots=True)
class ArithmeticLevel:
    """One kind of chain and its share of the mix, e.g. `ArithmeticLevel("L3", weight=0.25, operands=(3, 3))`.

    name       appears in every problem's `level`
    weight     share of the mix, relative to the other levels
    operands   fewest and most numbers in the chain
    first      smallest and largest first number
    later      smallest and largest of the numbers after it
    operators  characters of "+-*", drawn uniformly; `*` binds tighter, as usual
    results    every running total, and so the answer, lies between these two
    """

    name: str
    weight: float
    operands: tuple[int, int]
    first: tuple[int, int] = (1, 99)
    later: tuple[int, int] = (1, 9)
    operators: str = "+-"
    results: tuple[int, int] = (0, 99)


# The world of the embedded tiny policy: two numbers are easy at sight, six need work (experiments/tiny_policy).
TINY_LEVELS = (
    ArithmeticLevel("L2", 0.25, (2, 2)),
    ArithmeticLevel("L3", 0.25, (3, 3)),
    ArithmeticLevel("L4", 0.25, (4, 5)),
    ArithmeticLevel("L6", 0.25, (6, 6)),
)


@dataclass(frozen=True, slots=True)
class ArithmeticParams:
    """A whole problem distribution: the levels, and the rule that splits it.

    test_fraction  share of all problem texts that belong to "test", in (0, 1)
    split_key      key of the splitting hash; another key is another split
    """

    levels: tuple[ArithmeticLevel, ...] = TINY_LEVELS
    test_fraction: float = 0.1
    split_key: str = "steerctl/arithmetic/1"


class Level(Strict):
    """One kind of chain, as an experiment writes it."""

    name: str
    """Appears in every problem's `info`."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Share of the mix, relative to the other levels."""
    operands: Pair
    """Fewest and most numbers in the chain."""
    first: Pair = (1, 99)
    """Smallest and largest first number."""
    later: Pair = (1, 9)
    """Smallest and largest of the numbers after it."""
    operators: str = "+-"
    """Characters of `+-*`, drawn uniformly."""
    results: Pair = (0, 99)
    """Every running total, and so the answer, lies between these two."""


class Arithmetic(Dataset):
    """Seeded chains of sums, differences and products; train and test never share a problem."""

    kind: Literal["arithmetic"] = "arithmetic"
    split: Split = "train"
    """Which half of all problem texts; a text belongs to the same half whatever the seed."""
    count: Annotated[int, Field(gt=0, le=10**7)] = 4096
    """How many distinct problems."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1
    """Decides which problems."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of all problem texts that belong to the test split."""
    levels: list[Level] = Field(default=[Level(**asdict(level)) for level in TINY_LEVELS], min_length=1)
    """The mix; the default is what the embedded tiny policy was trained on."""

    @property
    def params(self) -> ArithmeticParams:
        """The problem distribution of these settings."""
        levels = tuple(ArithmeticLevel(**level.model_dump()) for level in self.levels)
        return ArithmeticParams(levels=levels, test_fraction=self.test_fraction)

    def load(self) -> ProblemSet:
        """The problems, in the order they were drawn. Raises DataError."""
        drawn = generate(self.params, self.split, self.count, self.seed)
        return ProblemSet([_asked(problem) for problem in drawn])


@dataclass(frozen=True, slots=True)
class ArithmeticProblem:
    """One problem, e.g. `ArithmeticProblem("57+8-3=?", 62, "L3")`."""

    text: str
    answer: int
    level: str


def split_of(text: str, *, test_fraction: float, split_key: str) -> Split:
    """The split a problem text belongs to: "test" where BLAKE2b(key, text) / 2^64 < test_fraction."""
    digest = hashlib.blake2b(text.encode(), key=split_key.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < test_fraction * 2**64 else "train"


def running_totals(numbers: Sequence[int], operators: Sequence[str]) -> tuple[int, ...]:
    """The value of a chain after each of its terms, `*` before `+` and `-`; the last one is the answer.

    Example: numbers (2, 3, 4, 5), operators "+*-" give (2, 14, 9).
    """
    terms = [numbers[0]]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator == "*":
            terms[-1] *= number
        else:
            terms.append(number if operator == "+" else -number)
    totals = [terms[0]]
    for term in terms[1:]:
        totals.append(totals[-1] + term)
    return tuple(totals)


def generate(params: ArithmeticParams, split: Split, count: int, seed: int) -> list[ArithmeticProblem]:
    """`count` problems with distinct texts, all of one split; the same arguments always give the same list.

    Raises:
        DataError: the parameters contradict themselves, or a level has too few distinct problems for `count`.
    """
    _check(params)
    rng = random.Random(f"{split}/{seed}")  # noqa: S311  (no secret is drawn here)
    weights = [level.weight for level in params.levels]
    seen: set[str] = set()
    problems: list[ArithmeticProblem] = []
    for _ in range(count):
        level = rng.choices(params.levels, weights)[0]
        problem = _fresh(rng, level, params, split, seen)
        seen.add(problem.text)
        problems.append(problem)
    return problems


def _asked(problem: ArithmeticProblem) -> Problem:
    """The chain as the only user turn; the id is the chain itself."""
    name = "arithmetic/" + problem.text.removesuffix("=?")
    return Problem(name, (Message("user", problem.text),), str(problem.answer), "arithmetic", {"level": problem.level})


def _fresh(
    rng: random.Random, level: ArithmeticLevel, params: ArithmeticParams, split: Split, seen: set[str]
) -> ArithmeticProblem:
    for _ in range(_ATTEMPTS):
        problem = _draw(rng, level)
        if problem is None or problem.text in seen:
            continue
        if split_of(problem.text, test_fraction=params.test_fraction, split_key=params.split_key) == split:
            return problem
    raise DataError(
        f"arithmetic level {level.name} has no further {split} problem after {len(seen)} were drawn: "
        "ask for fewer problems, or widen its operands, numbers or results"
    )


def _draw(rng: random.Random, level: ArithmeticLevel) -> ArithmeticProblem | None:
    """One chain, or None where a running total leaves the level's range."""
    length = rng.randint(*level.operands)
    numbers = [rng.randint(*level.first), *(rng.randint(*level.later) for _ in range(length - 1))]
    operators = [rng.choice(level.operators) for _ in range(length - 1)]
    totals = running_totals(numbers, operators)
    lowest, highest = level.results
    if not all(lowest <= total <= highest for total in totals):
        return None
    chain = "".join(f"{operator}{number}" for operator, number in zip(operators, numbers[1:], strict=True))
    return ArithmeticProblem(f"{numbers[0]}{chain}=?", totals[-1], level.name)


def _check(params: ArithmeticParams) -> None:
    if not params.levels or not all(level.weight >= 0 for level in params.levels):
        raise DataError("arithmetic needs at least one level, and no weight below 0")
    if sum(level.weight for level in params.levels) <= 0:
        raise DataError("arithmetic levels all have weight 0: give at least one a positive weight")
    if not 0 < params.test_fraction < 1:
        raise DataError(f"arithmetic test_fraction is {params.test_fraction}: give a number between 0 and 1")
    for level in params.levels:
        ranges = {"operands": level.operands, "first": level.first, "later": level.later, "results": level.results}
        for name, (low, high) in ranges.items():
            if low > high:
                raise DataError(
                    f"arithmetic level {level.name}: {name} runs from {low} to {high}; give the smaller first"
                )
        if level.operands[0] < 1 or min(level.first[0], level.later[0]) < 0:
            raise DataError(f"arithmetic level {level.name}: needs at least one operand and no negative numbers")
        if not level.operators or set(level.operators) - set("+-*"):
            raise DataError(f"arithmetic level {level.name}: operators {level.operators!r} must be characters of '+-*'")
