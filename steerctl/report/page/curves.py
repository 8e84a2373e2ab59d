"""What is drawn over the steps: every method's mean over seeds with its band, thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steerctl.evaluation.samples import Vector
from steerctl.evaluation.seeds import Bands, bands
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.report.page.methods import Method, Run

POINTS = 200
"""At most about so many points of a curve; longer ones show means of stretches of equal length."""
TITLES = {
    "reward/mean": "Reward",
    "accuracy/mean": "Accuracy in training",
    "validation/accuracy/mean": "Validation accuracy",
    "validation/accuracy/any": "Validation: right at least once",
    "eval/macro/accuracy/mean": "Benchmarks, mean accuracy",
    "policy/entropy/mean": "Entropy of the policy",
    "clip/high/fraction": "Tokens clipped above",
    "clip/low/fraction": "Tokens clipped below",
    "entropy_change/exact/mean": "Predicted change of entropy",
    "entropy_change/measured/mean": "Measured change of entropy",
    "entropy_change/exact/pearson": "Prediction against measurement",
    "probe/first_order/pearson": "Probe: first order against measurement",
    "weight/mean": "Weight of a token",
    "response/length/mean": "Length of a response",
}
SAME = {"accuracy/mean": "reward/mean", "validation/accuracy/any": "validation/accuracy/mean"}
"""Left out where it is the other one in every run."""
BENCHMARK = ("eval/", "/accuracy/mean")


@dataclass(frozen=True, slots=True)
class Curve:
    """One method in one panel: where, mean and band, and each run's own values (NaN where it has none)."""

    method: int
    steps_T: Vector
    bands: Bands
    runs_ST: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric over the steps; `stretch` steps make a point."""

    key: str
    title: str
    unit: str
    stretch: int
    curves: tuple[Curve, ...]


def panels(methods: Sequence[Method], first: Sequence[str] = (), points: int = POINTS) -> list[Panel]:
    """Every panel of which at least one run has a value; `first` are keys that come before the others."""
    known = catalogue()
    found = []
    for key in dict.fromkeys([*first, *TITLES, *_benchmarks(methods)]):
        panel = _panel(methods, key, points)
        if panel.curves and not _says_nothing(methods, key):
            found.append(panel)
    return [
        Panel(
            each.key, title_of(each.key), known[each.key].unit if each.key in known else "", each.stretch, each.curves
        )
        for each in found
    ]


def title_of(key: str) -> str:
    """`Validation accuracy`; other keys stand for themselves."""
    return TITLES.get(key, key)


def values_of(run: Run, key: str) -> dict[int, float]:
    """Step -> value, where there is a finite one."""
    return {int(line["step"]): line[key] for line in run.lines if math.isfinite(line.get(key, math.nan))}


def _panel(methods: Sequence[Method], key: str, points: int) -> Panel:
    found = [[values_of(run, key) for run in method.runs] for method in methods]
    steps = {step for runs in found for values in runs for step in values}
    stretch = math.ceil((max(steps) - min(steps) + 1) / points) if len(steps) > points else 1
    curves = (_curve(index, runs, stretch) for index, runs in enumerate(found))
    return Panel(key, key, "", stretch, tuple(curve for curve in curves if curve is not None))


def _curve(method: int, runs: Sequence[Mapping[int, float]], stretch: int) -> Curve | None:
    cells = [dict(_cells(values, stretch)) for values in runs]
    places = sorted({place for own in cells for place in own})
    if not places:
        return None
    runs_ST = np.array([[own.get(place, math.nan) for place in places] for own in cells])
    shift = (stretch - 1) / 2 + 1
    steps_T = np.array([place * stretch + shift if place >= 0 else 0.0 for place in places])
    return Curve(method, steps_T, bands(runs_ST), runs_ST)


def _cells(values: Mapping[int, float], stretch: int) -> Iterator[tuple[int, float]]:
    """Means over stretches of steps; step 0 is a stretch of its own, −1."""
    sums: dict[int, list[float]] = {}
    for step, value in values.items():
        sums.setdefault((step - 1) // stretch if step else -1, []).append(value)
    for place, members in sums.items():
        yield place, math.fsum(members) / len(members)


def _benchmarks(methods: Sequence[Method]) -> list[str]:
    start, end = BENCHMARK
    keys = {key for method in methods for run in method.runs for line in run.lines for key in line}
    return sorted(key for key in keys if key.startswith(start) and key.endswith(end))


def _says_nothing(methods: Sequence[Method], key: str) -> bool:
    """A weight that nothing turns, an accuracy that is the reward."""
    runs = [run for method in methods for run in method.runs]
    if key == "weight/mean":
        return all(value == 1.0 for run in runs for value in values_of(run, key).values())
    return key in SAME and all(values_of(run, key) == values_of(run, SAME[key]) for run in runs)
