"""Jobs of a study and how they stand: a cell of a grid, or a trial of a search; each attempt is one Optuna trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

Ending = Literal["failed", "killed", "lost", "duplicate"]
"""Why an attempt came to nothing: by itself, by the machine, with its worker, or it was one too many."""
JobState = Literal["waiting", "running", "finished", "pruned", "failed"]
JOB, ATTEMPT, SETTINGS, OWNER, BEAT, ENDING, REASON, KILLS, RESULT = (
    "job", "attempt", "settings", "owner", "beat", "ending", "reason", "kills", "result",
)  # fmt: skip
"""User attributes of a trial."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do once; `settings` changes when what it does is changed."""

    id: str
    settings: str

    def has_begun_otherwise(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one of its trials has begun with other settings; those of a job that never began may change."""
        other = any(trial.user_attrs.get(SETTINGS) != self.settings for trial in trials)
        untouched = len(trials) == 1 and trials[0].state == TrialState.WAITING and not trials[0].user_attrs.get(BEAT)
        return other and not untouched


@dataclass(slots=True)
class Claim:
    """A job that is ours until it is finished, given back or taken away."""

    job: str
    trial: FrozenTrial
    beats: int = 0

    @property
    def kills(self) -> int:
        """How often the machine killed it before."""
        return int(self.trial.user_attrs.get(KILLS, 0))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands: the trial that counts, and what it says."""

    job: str
    state: JobState
    trial: FrozenTrial | None
    attempts: int

    @property
    def says(self) -> Mapping[str, Any]:
        """Progress of a running job, result of a finished one; both by cell."""
        attrs = self.trial.user_attrs if self.trial is not None else {}
        found: Mapping[str, Any] = attrs.get(RESULT) or attrs.get(BEAT) or {}
        return found

    @property
    def reason(self) -> str:
        """Why it failed."""
        return str(self.trial.user_attrs.get(REASON, "")) if self.trial is not None else ""
