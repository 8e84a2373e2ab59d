"""What the responses to one benchmark come to, and all benchmarks together, as JSON values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steerctl.evaluation.intervals import Interval, macro_interval, mean_interval
from steerctl.evaluation.majority import majority_at_k
from steerctl.evaluation.pass_at_k import avg_at_k, pass_at_k
from steerctl.evaluation.repeats import macro_sample_interval, sample_interval
from steerctl.store.evaluations import Responses

BOUNDS = (0.0, 1.0)
Classes = Callable[[Sequence[str | None]], Sequence[int | None]]
"""The answers to one question -> the class of each among those that mean the same; None: no answer."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The responses to a benchmark's questions, in the order of its data set.

    clusters  what each question shares with others, such as a source; None: every question is by itself
    """

    responses: Responses
    clusters: tuple[Hashable, ...] | None = None


def summarise(measured: Measured, classes: Classes | None) -> dict[str, Any]:
    """One benchmark: accuracy with both error bars, pass@k and maj@k for every k that the samples allow, the grader.

    classes  None: answers are not compared with each other (code), so there is no majority
    """
    found, clusters = measured.responses, measured.clusters
    verdicts_PG = found.verdicts_PG
    questions, samples = verdicts_PG.shape
    plain = bool(np.isin(verdicts_PG, BOUNDS).all())
    sizes = _sizes(samples)
    record: dict[str, Any] = {
        "questions": questions,
        "samples": samples,
        "accuracy": {
            "value": float(verdicts_PG.mean()),
            **_bars(mean_interval(avg_at_k(verdicts_PG), clusters, bounds=BOUNDS), sample_interval(verdicts_PG)),
        },
        "pass_at": {str(k): _one(mean_interval(pass_at_k(verdicts_PG, k), clusters, bounds=BOUNDS)) for k in sizes}
        if plain
        else {},
        "majority_at": {},
        **_grading(found),
    }
    if clusters is not None:
        record["clusters"] = dict(zip(found.ids, clusters, strict=True))
    if classes is not None:
        equal = [list(classes(row)) for row in found.answers]
        for k in sizes[1:]:
            values_P = majority_at_k(equal, verdicts_PG, k)
            record["majority_at"][str(k)] = _one(mean_interval(values_P, clusters, bounds=BOUNDS))
    return record


def macro(parts: Mapping[str, Measured]) -> dict[str, Any]:
    """The mean over benchmarks, each counting alike; a benchmark's questions are drawn anew within it."""
    strata = {name: (avg_at_k(each.responses.verdicts_PG), each.clusters) for name, each in parts.items()}
    like_these = macro_interval(strata, bounds=BOUNDS)
    these = macro_sample_interval([each.responses.verdicts_PG for each in parts.values()])
    return {"value": like_these.value, **_bars(like_these, these)}


def _sizes(samples: int) -> list[int]:
    """1, 2, 4, ... and all samples."""
    powers = [2**power for power in range(samples.bit_length()) if 2**power <= samples]
    return sorted({*powers, samples})


def _grading(found: Responses) -> dict[str, Any]:
    """How the answers were read and judged: shares of all responses, counts, lengths in tokens."""
    total = found.verdicts_PG.size
    statuses = Counter(status for row in found.statuses for status in row)
    whys = Counter(_step(why) for row in found.whys for why in row)
    return {
        "no_answer": statuses["no_answer"] / total,
        "truncated": float(found.truncated_PG.mean()),
        "length": {"mean": float(found.lengths_PG.mean()), "max": int(found.lengths_PG.max())},
        "grader_timeouts": statuses["timeout"],
        "grader_errors": statuses["error"],
        "programs_ended": {"out_of_memory": statuses["oom"], "crashed": statuses["crash"]},
        "answers_too_long": statuses["too_long"],
        "decided_by": {why: count / total for why, count in sorted(whys.items(), key=lambda each: (-each[1], each[0]))},
    }


def _step(why: str) -> str:
    """The deciding step without the particulars of one response."""
    return re.split(r"[:(]", why, maxsplit=1)[0].strip()


def _bars(*intervals: Interval) -> dict[str, Any]:
    return {"intervals": {each.population: _bar(each) for each in intervals}}


def _one(interval: Interval) -> dict[str, Any]:
    return {"value": interval.value, **_bars(interval)}


def _bar(interval: Interval) -> dict[str, Any]:
    return {
        "low": interval.low,
        "high": interval.high,
        "error": interval.error,
        "method": interval.method,
        "units": interval.units,
    }
