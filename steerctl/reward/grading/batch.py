"""From decisions, some of which need a worker, to one verdict per response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steerctl.reward.grading.pool import Outcome, Task, WorkerPool
from steerctl.types import Verdict

_WORST = {"timeout": 2, "error": 1}


@dataclass(frozen=True, slots=True)
class Asked:
    """One response that workers decide: its answer, and one task for each reference answer that needs one."""

    answer: str
    tasks: tuple[Task, ...]


def settle(pool: WorkerPool, decided: Sequence[Verdict | Asked]) -> list[Verdict]:
    """One verdict each, in order; equal tasks are given to a worker once."""
    tasks = list(dict.fromkeys(task for one in decided if isinstance(one, Asked) for task in one.tasks))
    outcomes = dict(zip(tasks, pool.run(tasks), strict=True)) if tasks else {}
    return [one if isinstance(one, Verdict) else _verdict(one, outcomes) for one in decided]


def storable(answer: str) -> str:
    """The answer with lone surrogates replaced, so that it can be written as UTF-8."""
    return answer if answer.isascii() else answer.encode("utf-8", "replace").decode("utf-8")


def _verdict(asked: Asked, outcomes: dict[Task, Outcome]) -> Verdict:
    """Right if any outcome is; else the one that says most about what went wrong."""
    found = [outcomes[task] for task in asked.tasks]
    outcome = next((one for one in found if one.right), None) or max(found, key=lambda one: _WORST.get(one.status, 0))
    return Verdict(float(outcome.right), asked.answer, outcome.why, outcome.status)
