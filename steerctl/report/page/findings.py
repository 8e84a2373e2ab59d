"""What may be concluded: every method in every number, with intervals over seeds, against its baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from steerctl.evaluation.ends import Direction, chosen_step, last_value, value_at
from steerctl.evaluation.seeds import ALPHA, BySeed, OverSeeds, over_seeds
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.report.page.curves import title_of
from steerctl.report.page.methods import Method, Run

At = Literal["last", "chosen"]
Read = Callable[[Run], float | None]

ENTROPY, ENTROPY_AFTER, KEPT = "policy/entropy/mean", "policy/entropy_after/mean", "entropy kept"
ACCURACIES = ("validation/accuracy/mean", "accuracy/mean", "reward/mean")
"""What a report is about if nobody says: the first of these that is measured."""
NONE_SEEN = "no detectable difference"
NONE_AFTER = f"{NONE_SEEN} once corrected"
LAST_STEPS = 5


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared, and with what.

    metric      the number it is about
    more        further numbers of the tables
    baselines   method -> what it is compared with; None for a baseline
    last_steps  a run's value is its mean over so many last steps, of those of them that have it
    choose_by   also: every number at the step where this one was best
    """

    metric: str
    direction: Direction
    more: tuple[str, ...]
    baselines: Mapping[str, str | None]
    last_steps: int
    choose_by: str


@dataclass(frozen=True, slots=True)
class Number:
    """One number of all methods, over seeds; `values` by method and seed."""

    key: str
    title: str
    unit: str
    at: At
    values: Mapping[str, BySeed]
    found: Mapping[str, OverSeeds]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method's runs took, means over its runs; None where it was not measured.

    tokens       trained on
    seconds      of all steps, validation and rollout files included, checkpoints not
    parts        seconds by phase
    """

    runs: int
    steps: float
    tokens: float | None
    seconds: float | None
    parts: Mapping[str, float]


PHASES = ("generate", "verify", "update", "measure", "probe", "validate", "evaluate")


def main_metric(methods: Sequence[Method]) -> str:
    """Validation accuracy where it was measured, else what comes next to it."""
    measured = {key for method in methods for run in method.runs for line in run.lines for key in line}
    return next((key for key in ACCURACIES if key in measured), ACCURACIES[-1])


def numbers(methods: Sequence[Method], question: Question) -> list[Number]:
    """Every number that a run has, at the end of the runs and at the step that was chosen; the main one first."""
    used = usable(methods)
    found: list[Number] = []
    for at in ("last", "chosen"):
        moment: At = "last" if at == "last" else "chosen"
        for key in dict.fromkeys(
            [question.metric, *ACCURACIES[:1], KEPT, ENTROPY, *question.more, *_benchmarks(methods)]
        ):
            values = values_at(used, key, moment, question)
            repeated = any(each.at == moment and each.values == values for each in found)
            if any(values.values()) and not repeated:
                found.append(
                    Number(
                        key, title_of_number(key), unit_of_number(key), moment, values,
                        over_seeds(values, question.baselines),
                    )
                )  # fmt: skip
    return found


def values_at(used: Mapping[str, Sequence[Run]], key: str, at: At, question: Question) -> dict[str, BySeed]:
    """One number of all methods, at the end of the runs or at the chosen step, by seed."""
    read = _reader(key, at, question)
    found = {name: {run.seed: read(run) for run in runs} for name, runs in used.items()}
    return {name: {seed: v for seed, v in own.items() if v is not None} for name, own in found.items()}


def usable(methods: Sequence[Method]) -> dict[str, tuple[Run, ...]]:
    """The finished runs of each method; all of them where not one run is finished."""
    some = any(run.finished for method in methods for run in method.runs)
    return {each.name: tuple(run for run in each.runs if run.finished or not some) for each in methods}


def verdict(found: OverSeeds) -> str:
    """In words: `higher`, `lower`, `no detectable difference`; empty for a baseline.

    Where the difference would have been detected alone, and not among so many, the words say so.
    """
    if found.baseline is None or found.difference is None:
        return "" if found.baseline is None else "no pairs of equal seeds"
    if found.detected is None:
        return "too few pairs to tell" if found.pairs < 2 else "the same difference in every pair"
    if not found.detected:
        return NONE_SEEN if found.p_value is None or found.p_value > ALPHA else NONE_AFTER
    return "higher" if found.difference.value > 0 else "lower"


def on_the_front(accuracy: Mapping[str, float], kept: Mapping[str, float]) -> list[str]:
    """Methods that no other one beats in both numbers, by the second, the largest first."""
    both = {name: (accuracy[name], kept[name]) for name in accuracy.keys() & kept.keys()}
    front = [
        name
        for name, (right, up) in both.items()
        if not any(a >= right and k >= up and (a, k) != (right, up) for a, k in both.values())
    ]
    return sorted(front, key=lambda name: (-both[name][1], name))


def costs(methods: Sequence[Method]) -> dict[str, Cost]:
    """By method, over its finished runs (all of them where not one is finished)."""
    return {name: _cost(runs) for name, runs in usable(methods).items() if runs}


def _cost(runs: Sequence[Run]) -> Cost:
    parts = {phase: _mean([_sum(run, f"time/{phase}/seconds") for run in runs]) for phase in PHASES}
    return Cost(
        len(runs),
        sum(run.steps for run in runs) / len(runs),
        _mean([_sum(run, "batch/tokens/count") for run in runs]),
        _mean([_sum(run, "time/step/seconds") for run in runs]),
        {phase: value for phase, value in parts.items() if value},
    )


def _reader(key: str, at: At, question: Question) -> Read:
    direction = question.direction if question.choose_by == question.metric else "maximize"

    def value(run: Run, name: str) -> float | None:
        if at == "last":
            return last_value(run.lines, name, question.last_steps)
        step = chosen_step(run.lines, question.choose_by, direction)
        return None if step is None else value_at(run.lines, name, step)

    return (lambda run: _kept(run, value)) if key == KEPT else (lambda run: value(run, key))


def _kept(run: Run, value: Callable[[Run, str], float | None]) -> float | None:
    """Entropy as a share of what it was before the first step."""
    first = next((line[ENTROPY] for line in run.lines if math.isfinite(line.get(ENTROPY, math.nan))), None)
    now = value(run, ENTROPY_AFTER)
    now = value(run, ENTROPY) if now is None else now
    return now / first if first and now is not None else None


def title_of_number(key: str) -> str:
    """In words."""
    return "Entropy kept" if key == KEPT else title_of(key)


def unit_of_number(key: str) -> str:
    """Its unit, empty if nobody says."""
    known = catalogue()
    return "share of the first step's entropy" if key == KEPT else known[key].unit if key in known else ""


def _benchmarks(methods: Sequence[Method]) -> list[str]:
    keys = {key for method in methods for run in method.runs for line in run.lines for key in line}
    return sorted(key for key in keys if key.startswith("eval/") and key.endswith("/accuracy/mean"))


def _sum(run: Run, key: str) -> float | None:
    found = [line[key] for line in run.lines if math.isfinite(line.get(key, math.nan))]
    return math.fsum(found) if found else None


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return math.fsum(found) / len(found) if found else None
