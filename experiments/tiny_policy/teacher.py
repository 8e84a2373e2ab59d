"""What the tiny policy is shown before any reinforcement learning: lessons, then habits.

Lessons are right. Habits are what is left of them: every sum of a last digit and an operand (7+8, 1-5, ...) is a fact
of its own, and the pupil remembers it rightly with a probability that depends on the fact (`MEMORY`) and otherwise
always makes the same mistake. Solid facts need no reward, shaky and weak ones are found by trying, and a lost one is
right so seldom that a policy which has stopped trying never learns it: that is the room left for exploration.

A solution writes, for each operator, either the whole step (`57+8=65`) or only its result (`65`), as a coin says; now
and then it writes no step at all.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Literal

from steerctl.data.arithmetic import ArithmeticProblem
from steerctl.reward.arithmetic import ANSWER_MARK

Phase = Literal["lessons", "habits"]

LOWEST, HIGHEST = 0, 99
_NUMBER = re.compile(r"([+-]?)([0-9]+)")


@dataclass(frozen=True, slots=True)
class Memory:
    """A class of facts: its share of all facts, and how often one of them is right in the lessons and in the habits."""

    name: str
    share: float
    lesson: float
    habit: float


MEMORY = (
    Memory("solid", 0.82, 1.0, 0.97),
    Memory("shaky", 0.10, 1.0, 0.45),
    Memory("weak", 0.08, 0.5, 0.15),
)


@dataclass(frozen=True, slots=True)
class Misconception:
    """A step done with another operand than the one that is written, all but `right` of the time."""

    operator: str
    number: int
    taken_for: int
    right: float


MISCONCEPTIONS = (
    Misconception("+", 7, taken_for=9, right=0.05),
    Misconception("-", 8, taken_for=6, right=0.03),
    Misconception("+", 6, taken_for=3, right=0.015),
    Misconception("-", 7, taken_for=9, right=0.006),
)
# How often a level's solution is the bare answer, by phase.
DIRECT = {
    "lessons": {"L2": 0.4, "L3": 0.1, "L4": 0.03, "L6": 0.03},
    "habits": {"L2": 0.3, "L3": 0.3, "L4": 0.3, "L6": 0.3},
}
# How often a step is written out, and how often a result is off by a random slip, by phase.
WRITTEN_OUT = {"lessons": 0.6, "habits": 0.7}
SLIPS = {"lessons": 0.0, "habits": 0.06}
_SLIP_SIZES = (-10, -3, -2, -1, 1, 2, 3, 10)


@dataclass(frozen=True, slots=True)
class Fact:
    """How one sum of a last digit and an operand is remembered: its class, and the error when it is not right."""

    memory: Memory
    error: int


def fact(total: int, operator: str, number: int) -> Fact:
    """The fact behind `total operator number`: it depends on the last digit of the total, by a keyed hash."""
    name = f"{total % 10}{operator}{number}"
    digest = hashlib.blake2b(name.encode(), key=b"facts", digest_size=8).digest()
    place = int.from_bytes(digest[:4], "big") / 2**32
    error = (-2, -1, 1, 2, 10 if operator == "-" else -10)[digest[5] % 5]
    for memory in MEMORY:
        if place < memory.share:
            return Fact(memory, error)
        place -= memory.share
    return Fact(MEMORY[-1], error)


def steps_of(text: str) -> list[tuple[str, int]]:
    """`57+8-3=?` as [("", 57), ("+", 8), ("-", 3)]."""
    return [(operator, int(number)) for operator, number in _NUMBER.findall(text)]


def solution(problem: ArithmeticProblem, phase: Phase, rng: random.Random) -> str:
    """One response to `problem`, right in the lessons and as remembered in the habits."""
    (_, total), *rest = steps_of(problem.text)
    written: list[str] = []
    for operator, number in rest:
        result = _recall(total, operator, number, phase, rng)
        whole = rng.random() < WRITTEN_OUT[phase]
        written.append(f"{total}{operator}{number}={result}" if whole else str(result))
        total = result
    direct = rng.random() < DIRECT[phase][problem.level]
    return f"{'' if direct else ';'.join(written)}{ANSWER_MARK}{total}"


def _recall(total: int, operator: str, number: int, phase: Phase, rng: random.Random) -> int:
    sign = 1 if operator == "+" else -1
    right = min(max(total + sign * number, LOWEST), HIGHEST)
    for belief in MISCONCEPTIONS:
        if (belief.operator, belief.number) == (operator, number):
            return right if rng.random() < belief.right else _within(right, sign * (belief.taken_for - number))
    if rng.random() < SLIPS[phase]:
        return _within(right, rng.choice(_SLIP_SIZES))
    known = fact(total, operator, number)
    chance = known.memory.lesson if phase == "lessons" else known.memory.habit
    return right if rng.random() < chance else _within(right, known.error)


def _within(right: int, error: int) -> int:
    """`right + error`, or with the error turned round where that would leave the range."""
    wrong = right + error
    return wrong if LOWEST <= wrong <= HIGHEST else right - error
