"""What one run comes to: its metrics at the last step, and at the step its validation chose."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steerctl.evaluation.ends import chosen_step, last_value
from steerctl.store.record import RunRecord
from steerctl.sweep.spec import SweepSpec

TOKENS, STEP_SECONDS = "batch/tokens/count", "time/step/seconds"


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


def asked_for(spec: SweepSpec) -> str:
    """What a result depends on besides its run; equal texts, equal numbers."""
    return json.dumps([columns(spec), spec.last_steps, spec.choose_by, spec.direction])


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
