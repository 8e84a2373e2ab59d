"""Everything a report shows, put together once; page, tables and figures are made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steerctl.evaluation.ends import Direction
from steerctl.report.page.contrasts import Answer, Contrast, answers
from steerctl.report.page.curves import Panel, panels
from steerctl.report.page.findings import (
    KEPT,
    LAST_STEPS,
    Cost,
    Number,
    Question,
    costs,
    main_metric,
    numbers,
    on_the_front,
)
from steerctl.report.page.methods import Methods

POSSIBLE_BASELINES = ("grpo", "base", "baseline")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader, or a sweep, wants; what is None or empty is chosen.

    alone  without `baseline`, nothing is compared: the trials of a search
    """

    title: str | None = None
    metric: str | None = None
    direction: Direction = "maximize"
    more: tuple[str, ...] = ("reward/mean",)
    baseline: str | None = None
    baselines: Mapping[str, str] | None = None
    last_steps: int = LAST_STEPS
    choose_by: str = "validation/accuracy/mean"
    alone: bool = False
    contrasts: tuple[Contrast, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of it.

    numbers  the main one at the end of the runs first
    front    methods that no other beats in both accuracy and entropy kept
    planned  what the sweep's file asked, answered
    """

    title: str
    methods: Methods
    question: Question
    numbers: tuple[Number, ...]
    panels: tuple[Panel, ...]
    costs: Mapping[str, Cost]
    front: tuple[str, ...] = ()
    planned: tuple[Answer, ...] = ()

    @property
    def main(self) -> Number | None:
        """The number that the report is about, at the end of the runs; None if no run has it."""
        return next((each for each in self.numbers if each.key == self.question.metric and each.at == "last"), None)

    @property
    def kept(self) -> Number | None:
        """Entropy kept at the end of the runs."""
        return next((each for each in self.numbers if each.key == KEPT and each.at == "last"), None)

    @property
    def compares(self) -> bool:
        """Whether there is more than one method."""
        return len(self.methods.methods) > 1


def make_report(methods: Methods, asked: Asked) -> Report:
    """Read, group and reckon.

    Raises:
        UserError: there is no baseline of the name that was asked for.
    """
    metric = asked.metric or main_metric(methods.methods)
    question = Question(
        metric, asked.direction, asked.more, _baselines(methods, asked), asked.last_steps, asked.choose_by
    )
    found = numbers(methods.methods, question)
    report = Report(
        asked.title or _title(methods),
        methods,
        question,
        tuple(found),
        tuple(panels(methods.methods, first=(metric,))),
        costs(methods.methods),
        planned=answers(methods.methods, question, asked.contrasts),
    )
    main, kept = report.main, report.kept
    front = on_the_front(means(main), means(kept)) if main and kept and report.compares else []
    return replace(report, front=tuple(front))


def means(number: Number) -> dict[str, float]:
    """Method -> mean over seeds."""
    return {name: each.mean.value for name, each in number.found.items()}


def _baselines(methods: Methods, asked: Asked) -> dict[str, str | None]:
    """What every method is compared with: the one asked for, else the sweep's, else the first of a well-known name."""
    names = [method.name for method in methods.methods]
    if asked.baseline is not None:
        chosen = methods.named(asked.baseline).name
        return {name: None if name == chosen else chosen for name in names}
    if asked.alone:
        return dict.fromkeys(names)
    default = next((name for name in POSSIBLE_BASELINES if name in names), names[0])
    said = {name: other for name, other in (asked.baselines or {}).items() if other in names}
    heads = {*said.values()} or {default}
    fallback = default if default in heads or not said else next(iter(said.values()))
    return {name: said.get(name, None if name in heads else fallback) for name in names}


def _title(methods: Methods) -> str:
    names: Sequence[str] = [method.name for method in methods.methods]
    if len(names) == 1:
        return names[0] if len(methods.methods[0].runs) > 1 else methods.methods[0].runs[0].record.name
    return " and ".join(names) if len(names) <= 3 else f"{len(names)} methods"
