"""Methods over training seeds: means, differences of pairs with equal seeds, and what may be concluded from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from steerctl.evaluation.intervals import LEVEL, Interval, mean_interval
from steerctl.evaluation.permutation import holm, sign_flip_p
from steerctl.evaluation.power import detectable
from steerctl.evaluation.samples import Vector
from steerctl.evaluation.student import student_cdf, student_quantile

BySeed = Mapping[int, float]
ALPHA = 1 - LEVEL


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """One method and one number over its seeds, and against its baseline.

    mean        over its seeds, with its 95% interval
    baseline    what it is compared with, None for a baseline
    difference  to the baseline, mean over the seeds that both have; None without such a seed
    p_value     of the paired t test, two-sided: below 0.05 where the interval of the difference leaves out 0
    p_adjusted  Holm's, over all comparisons of the family: all methods in one number, or the planned contrasts
    p_flip      of the sign-flip test of the same pairs, which assumes no distribution; not adjusted. Of n pairs it
                cannot be below 2⁻ⁿ, and so says little of five
    effect      Hedges' g of the pairs: mean difference / standard deviation of the differences · (1 − 3/(4(n−1) − 1))
    seen        the true difference that this comparison finds with a chance of 80%, before Holm's correction
    Numbers that too few pairs, or pairs without any spread, cannot give are None.

    Source: Hedges and Olkin 1985 for the factor; Holm 1979.
    """

    mean: Interval
    baseline: str | None = None
    pairs: int = 0
    difference: Interval | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    p_flip: float | None = None
    effect: float | None = None
    seen: float | None = None

    @property
    def detected(self) -> bool | None:
        """Whether there is a difference at 5%, the family taken together; None where nothing can be said."""
        return None if self.p_adjusted is None else self.p_adjusted <= ALPHA


@dataclass(frozen=True, slots=True)
class Bands:
    """Of each column: the mean, its 95% interval (NaN below two seeds), and how many seeds are in it."""

    mean_T: Vector
    low_T: Vector
    high_T: Vector
    count_T: Vector


def over_seeds(values: Mapping[str, BySeed], baselines: Mapping[str, str | None]) -> dict[str, OverSeeds]:
    """Every method that has a value; `baselines` names what each is compared with, in pairs of equal seeds.

    Raises:
        UserError: a value is not a number.
    """
    found = {}
    for name, own in values.items():
        if own:
            baseline = baselines.get(name)
            found[name] = compared(own, baseline, values.get(baseline, {}) if baseline else {})
    return one_family(found)


def one_family(found: Mapping[str, OverSeeds]) -> dict[str, OverSeeds]:
    """The same comparisons with p corrected over all of them (Holm)."""
    adjusted = holm({name: each.p_value for name, each in found.items() if each.p_value is not None})
    return {name: replace(each, p_adjusted=adjusted.get(name)) for name, each in found.items()}


def bands(values_ST: ArrayLike) -> Bands:
    """`mean_interval` of every column at once, by Student's t; NaN for a seed that has no value there."""
    values = np.asarray(values_ST, np.float64)
    present = np.isfinite(values)
    count = present.sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0.0).sum(axis=0) / count
        squares = np.where(present, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / (count - 1) / count)
    half = error * np.array([student_quantile((1 + LEVEL) / 2, n - 1) if n > 1 else np.nan for n in count.tolist()])
    return Bands(mean, mean - half, mean + half, count)


def compared(own: BySeed, baseline: str | None, other: BySeed) -> OverSeeds:
    """One method, and its differences to the values of `baseline` at equal seeds; nothing is corrected.

    Raises:
        UserError: a value is not a number.
    """
    mean = mean_interval([own[seed] for seed in sorted(own)])
    differences = [own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())]
    if not differences:
        return OverSeeds(mean, baseline)
    found = mean_interval(differences)
    pairs = len(differences)
    if not found.error:
        same = 1.0 if pairs > 1 and not any(differences) else None
        return OverSeeds(mean, baseline, pairs, found, p_value=same, p_flip=same)
    size = found.value / (found.error * sqrt(pairs))
    p_value = 2 * student_cdf(-abs(found.value) / found.error, found.freedom)
    return OverSeeds(
        mean, baseline, pairs, found,
        p_value=p_value,
        p_flip=sign_flip_p(differences),
        effect=size * (1 - 3 / (4 * (pairs - 1) - 1)) if pairs > 2 else None,
        seen=detectable(found.error, found.freedom),
    )  # fmt: skip
