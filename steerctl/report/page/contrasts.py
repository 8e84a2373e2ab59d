"""Planned contrasts: the few comparisons that a sweep's file names, answered first and corrected by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steerctl.evaluation.seeds import OverSeeds, compared, one_family
from steerctl.report.page.findings import Question, title_of_number, unit_of_number, usable, values_at
from steerctl.report.page.methods import Method


@dataclass(frozen=True, slots=True)
class Contrast:
    """What is asked: `method` against `baseline` (None: its own one) in `metric` (None: the report's)."""

    says: str
    method: str
    baseline: str | None = None
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, at the end of the runs; `found.p_adjusted` is Holm's over all answers."""

    says: str
    method: str
    baseline: str
    key: str
    title: str
    unit: str
    found: OverSeeds


def answers(methods: Sequence[Method], question: Question, contrasts: Sequence[Contrast]) -> tuple[Answer, ...]:
    """Every contrast whose method and baseline have the number; the others are not there yet."""
    used = usable(methods)
    found: list[Answer] = []
    for asked in contrasts:
        key, head = asked.metric or question.metric, asked.baseline or question.baselines.get(asked.method)
        values = values_at(used, key, "last", question)
        own, other = values.get(asked.method), values.get(head or "")
        if head is not None and own and other:
            title, unit = title_of_number(key), unit_of_number(key)
            found.append(Answer(asked.says, asked.method, head, key, title, unit, compared(own, head, other)))
    corrected = one_family({str(index): each.found for index, each in enumerate(found)})
    return tuple(replace(each, found=corrected[str(index)]) for index, each in enumerate(found))
