"""What a comparison could have seen, computed before anything is believed."""

from __future__ import annotations

from math import ceil, inf

from steerctl.evaluation.intervals import LEVEL
from steerctl.evaluation.student import student_quantile

POWER = 0.8


def detectable(error: float, freedom: float = inf, *, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true difference that a two-sided test finds with chance `power`: (t_{1−α/2} + t_{power}) · error.

    `error` is the standard error of the (paired) difference, and so the unit of the answer; 2.80 errors at 0.8 and 95
    percent. Student's quantiles at `freedom` degrees stand in for the noncentral t: within 1 percent from 15 on.
    """
    return (student_quantile((1 + level) / 2, freedom) + student_quantile(power, freedom)) * error


def questions_needed(
    difference: float, error: float, questions: int, *, power: float = POWER, level: float = LEVEL
) -> int:
    """How many questions like these would show a true `difference`, from the error that `questions` of them gave."""
    return ceil(questions * (detectable(error, power=power, level=level) / abs(difference)) ** 2)
