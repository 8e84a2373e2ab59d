"""What one run comes to: its metrics at the last step, and at the step its validation chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerctl.store.record import RunRecord
from steerctl.sweep.spec import Direction, SweepSpec

TOKENS, STEP_SECONDS = "batch/tokens/count", "time/step/seconds"
LOWER_IS_BETTER: Direction = "minimize"


@dataclass(frozen=True, slots=True)
class CellResult:
    """Numbers of one finished run; those of a metric that was never measured are absent.

    last         metric -> its mean over the last steps (`last_steps`)
    chosen       metric -> its value at `chosen_step`
    chosen_step  the step at which `choose_by` was best, None if it was never measured
    """

    last: Mapping[str, float]
    chosen: Mapping[str, float]
    chosen_step: int | None
    steps: int
    tokens: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the study, where other machines read it."""
        return {
            "last": dict(self.last),
            "chosen": dict(self.chosen),
            "chosen_step": self.chosen_step,
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> CellResult:
        """What `as_json` wrote."""
        return cls(**record)


def columns(spec: SweepSpec) -> list[str]:
    """The metrics of the summary, the sweep's own first."""
    return list(dict.fromkeys([spec.metric, *spec.metrics]))


def result_of(run: RunRecord, spec: SweepSpec) -> CellResult:
    """The numbers of a run folder."""
    lines = run.read_metrics()
    step = chosen_step(lines, spec.choose_by, "maximize" if spec.choose_by != spec.metric else spec.direction)
    at_step = next((line for line in lines if line["step"] == step), {})
    return CellResult(
        last={key: value for key in columns(spec) if (value := last_value(lines, key, spec.last_steps)) is not None},
        chosen={key: at_step[key] for key in columns(spec) if math.isfinite(at_step.get(key, math.nan))},
        chosen_step=step,
        steps=max((int(line["step"]) for line in lines), default=0),
        tokens=int(sum(line.get(TOKENS, 0) for line in lines)),
        seconds=round(sum(line.get(STEP_SECONDS, 0.0) for line in lines), 3),
    )


def last_value(lines: Sequence[Mapping[str, float]], key: str, last_steps: int) -> float | None:
    """The mean of a metric over the last steps of a run, over those of them that have it; None if none has."""
    end = max((line["step"] for line in lines), default=0)
    values = [line[key] for line in lines if line["step"] > end - last_steps and math.isfinite(line.get(key, math.nan))]
    return math.fsum(values) / len(values) if values else None


def chosen_step(lines: Sequence[Mapping[str, float]], key: str, direction: Direction) -> int | None:
    """The step at which a metric was best, the earliest if several; step 0, before training, does not count."""
    sign = -1.0 if direction == LOWER_IS_BETTER else 1.0
    found = [line for line in lines if line["step"] > 0 and math.isfinite(line.get(key, math.nan))]
    best = max(found, key=lambda line: (sign * line[key], -line["step"]), default=None)
    return int(best["step"]) if best is not None else None
