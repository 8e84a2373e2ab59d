"""Do 95 percent intervals cover 95 percent, and does the permutation test cry wolf one time in twenty?

    python experiments/benchmarks/intervals.py
    python experiments/benchmarks/intervals.py --worlds 20000

Every row is one made-up benchmark of N questions with k samples each. A world draws how hard each question is (a beta
distribution: most are nearly always or nearly never solved), then the samples; the interval or test is what
`steerctl eval` computes. Coverage counts the worlds whose interval holds the truth: the mean over all questions of the
kind ("like these"), or the mean over the very questions drawn ("these"). False alarms count p <= 0.05 where both sides
are one policy; power counts it where they differ by what `detectable` says is found 80 times in 100. A family is a
cluster of questions of equal difficulty.

Rows marked `edge` are outside of what is promised, and show where the methods end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steerctl.evaluation.intervals import Interval, macro_interval, mean_interval
from steerctl.evaluation.permutation import macro_sign_flip_p, sign_flip_p
from steerctl.evaluation.power import detectable
from steerctl.evaluation.repeats import sample_interval

Array = NDArray[np.float64]
SPREAD = 1.5
"""Concentration of the beta distribution of difficulty: at a mean of 0.3, a third of all questions are below 0.02."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """N questions, k samples, mean accuracy, questions per family."""

    questions: int
    samples: int
    accuracy: float
    family: int = 1

    @property
    def name(self) -> str:
        """One line of the table."""
        families = f", families of {self.family}" if self.family > 1 else ""
        return f"N={self.questions} k={self.samples} p={self.accuracy}{families}"

    @property
    def clusters(self) -> list[int] | None:
        """Family of each question."""
        return [index // self.family for index in range(self.questions)] if self.family > 1 else None

    def difficulty(self, random: np.random.Generator) -> Array:
        """Chance of each question."""
        families = -(-self.questions // self.family)
        chances = random.beta(self.accuracy * SPREAD, (1 - self.accuracy) * SPREAD, families)
        return np.repeat(chances, self.family)[: self.questions]

    def answers(self, chances: Array, random: np.random.Generator) -> Array:
        """Verdicts [P, G]."""
        return (random.random((self.questions, self.samples)) < chances[:, None]).astype(np.float64)


KEPT = (
    Benchmark(30, 32, 0.3),
    Benchmark(30, 4, 0.5),
    Benchmark(272, 1, 0.4),
    Benchmark(272, 4, 0.4),
    Benchmark(272, 1, 0.4, family=3),
    Benchmark(675, 1, 0.42),
    Benchmark(675, 4, 0.42),
    Benchmark(675, 4, 0.42, family=2),
)
EDGES = (Benchmark(30, 32, 0.1), Benchmark(30, 32, 0.05), Benchmark(30, 1, 0.1), Benchmark(272, 4, 0.95))
SUITE = (
    Benchmark(30, 32, 0.3),
    Benchmark(30, 32, 0.2),
    Benchmark(40, 32, 0.7),
    Benchmark(500, 1, 0.78),
    Benchmark(272, 1, 0.4, family=3),
    Benchmark(675, 1, 0.42),
)
"""The six benchmarks of the STEER paper."""


def covers_like_these(benchmark: Benchmark, random: np.random.Generator) -> bool:
    """The interval over questions like these holds the mean of all of them."""
    correct = benchmark.answers(benchmark.difficulty(random), random)
    return inside(mean_interval(correct.mean(axis=1), benchmark.clusters, bounds=(0.0, 1.0)), benchmark.accuracy)


def covers_these(benchmark: Benchmark, random: np.random.Generator) -> bool:
    """The interval over these questions holds the mean of their chances."""
    chances = benchmark.difficulty(random)
    return inside(sample_interval(benchmark.answers(chances, random)), float(chances.mean()))


def covers_difference(benchmark: Benchmark, random: np.random.Generator) -> bool:
    """The paired interval holds the true mean difference; the right side loses one in ten of what the left solves."""
    chances = benchmark.difficulty(random)
    found = mean_interval(difference(benchmark, chances, 0.9 * chances, random), benchmark.clusters, bounds=(-1, 1))
    return inside(found, 0.1 * benchmark.accuracy)


def covers_macro(random: np.random.Generator) -> bool:
    """The interval of the six benchmarks' mean holds the truth."""
    strata = {}
    for index, each in enumerate(SUITE):
        correct = each.answers(each.difficulty(random), random)
        strata[str(index)] = (correct.mean(axis=1), each.clusters)
    return inside(macro_interval(strata, bounds=(0.0, 1.0)), float(np.mean([each.accuracy for each in SUITE])))


def alarms(benchmark: Benchmark, random: np.random.Generator) -> bool:
    """The test finds a difference of a policy from itself."""
    chances = benchmark.difficulty(random)
    return sign_flip_p(difference(benchmark, chances, chances, random), benchmark.clusters) <= 0.05


def alarms_macro(random: np.random.Generator) -> bool:
    """The same over six benchmarks."""
    strata = {}
    for index, each in enumerate(SUITE):
        chances = each.difficulty(random)
        strata[str(index)] = (difference(each, chances, chances, random), each.clusters)
    return macro_sign_flip_p(strata) <= 0.05


class Powered:
    """The test against a true difference of the size that `detectable` names for this benchmark."""

    def __init__(self, benchmark: Benchmark) -> None:
        """The error is that of many worlds at a first guess of the difference, then at the difference itself."""
        random = np.random.default_rng(7)
        self.benchmark, self.lost = benchmark, 0.1
        for _ in range(4):
            errors = [float(np.std(self.sides(random), ddof=1)) for _ in range(200)]
            error = float(np.mean(errors)) / benchmark.questions**0.5
            self.lost = detectable(error, benchmark.questions - 1) / benchmark.accuracy

    def sides(self, random: np.random.Generator) -> Array:
        """Differences of one world."""
        chances = self.benchmark.difficulty(random)
        return difference(self.benchmark, chances, (1 - self.lost) * chances, random)

    def __call__(self, random: np.random.Generator) -> bool:
        """Whether it is found."""
        return sign_flip_p(self.sides(random)) <= 0.05


def difference(benchmark: Benchmark, left: Array, right: Array, random: np.random.Generator) -> Array:
    """Paired differences of mean verdicts, [P]."""
    return benchmark.answers(left, random).mean(axis=1) - benchmark.answers(right, random).mean(axis=1)


def inside(interval: Interval, truth: float) -> bool:
    """Whether there is an interval and it holds the truth."""
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


def share(event: Callable[[np.random.Generator], bool], worlds: int, seed: int = 1) -> float:
    """Share of worlds in which it happens."""
    return sum(event(random) for random in np.random.default_rng(seed).spawn(worlds)) / worlds


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was counted, the range that is promised (None: nothing is), and how to count it."""

    what: str
    name: str
    promised: tuple[float, float] | None
    event: Callable[[np.random.Generator], bool]


def rows() -> list[Row]:
    """The whole table."""
    coverage, alarm, power = (0.935, 0.965), (0.04, 0.06), (0.75, 0.85)
    found = [Row("covers, like these", each.name, coverage, bind(covers_like_these, each)) for each in KEPT]
    found += [Row("covers, these", each.name, coverage, bind(covers_these, each)) for each in KEPT if each.samples > 1]
    found += [Row("covers, difference", each.name, coverage, bind(covers_difference, each)) for each in KEPT]
    found.append(Row("covers, macro average", "six benchmarks", coverage, covers_macro))
    found += [Row("false alarms", each.name, alarm, bind(alarms, each)) for each in KEPT]
    found.append(Row("false alarms", "six benchmarks", alarm, alarms_macro))
    found += [Row("power", each.name, power, Powered(each)) for each in KEPT if each.family == 1]
    found += [Row("edge: covers, like these", each.name, None, bind(covers_like_these, each)) for each in EDGES]
    found.append(Row("edge: false alarms", EDGES[2].name, None, bind(alarms, EDGES[2])))
    return found


def bind(event: Callable[[Benchmark, np.random.Generator], bool], benchmark: Benchmark) -> Callable[..., bool]:
    """`event` of one benchmark."""
    return lambda random: event(benchmark, random)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=4000, help="worlds per row")
    options = parser.parse_args()
    missed = 0
    started = time.process_time()
    print(
        f"{options.worlds} worlds per row; one standard error of a coverage of 95 percent is "
        f"{100 * (0.05 * 0.95 / options.worlds) ** 0.5:.2f} points"
    )
    for row in rows():
        found = share(row.event, options.worlds)
        kept = row.promised is None or row.promised[0] <= found <= row.promised[1]
        missed += not kept
        promise = "" if row.promised is None else f"{100 * row.promised[0]:.1f} to {100 * row.promised[1]:.1f}"
        print(f"{row.what:26} {row.name:36} {100 * found:6.2f} %   {promise:13} {'' if kept else 'MISSED'}", flush=True)
    print(f"{time.process_time() - started:.0f} CPU seconds", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
