"""The Optuna study as a board of jobs: each is done once, whoever dies on the way.

What the storage does atomically carries everything: a waiting trial becomes running once, and a running one is finished
once. Two trials of one job and attempt (workers that started at the same moment) are told apart by number: only the
lower one counts. SQLite locks no rows, so every change is made under the sweep folder's own lock as well.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from steerctl.errors import SpecError, StorageError
from steerctl.evaluation.ends import Direction
from steerctl.sweep.jobs import (
    ATTEMPT,
    BEAT,
    ENDING,
    JOB,
    KILLS,
    OWNER,
    REASON,
    RESULT,
    SETTINGS,
    Claim,
    Ending,
    Job,
    JobState,
    Standing,
)
from steerctl.sweep.place import SweepFolder

SQLITE = "sqlite:///"
PATIENCE_SECONDS = 60
"""How long a change waits for another process's change in SQLite."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A trial to add; `like` passes on what a search had chosen before."""

    job: Job
    attempt: int
    attrs: Mapping[str, Any]
    like: FrozenTrial | None = None


@dataclass(slots=True)
class _Seen:
    """The last heartbeat of a trial that we saw, and when by our own clock: clocks of machines need not agree."""

    beat: object
    since: float = field(default_factory=time.monotonic)


class Board:
    """The jobs of one study, as one worker sees them.

    Raises:
        StorageError: the storage cannot be reached or written.
    """

    def __init__(
        self, name: str, url: str | None, folder: SweepFolder, direction: Direction, *, retries: int, stale: float
    ) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._folder, self._retries, self._stale = folder, retries, stale
        self._local = url is None or url.startswith("sqlite")
        self._seen: dict[int, _Seen] = {}
        with self._changing():
            self._storage = _open(url, folder)
            self.study = optuna.create_study(
                storage=self._storage, study_name=name, direction=direction, load_if_exists=True
            )
        self._id = self._storage.get_study_id_from_name(name)

    def standings(self, jobs: Iterable[Job]) -> dict[str, Standing]:
        """How every job stands, in the order given; jobs of an earlier form of the sweep are left out."""
        attempts = self._attempts()
        return {job.id: self._standing(job.id, attempts.get(job.id, [])) for job in jobs}

    def bring_up_to_date(self, jobs: Sequence[Job], *, retry_failed: bool = False) -> None:
        """Add jobs that are not there, put back those whose worker is gone, and (if wanted) those that failed.

        Raises:
            SpecError: a job has begun with other settings.
        """
        self.check(jobs)
        attempts, wanted = self._attempts(), []
        for job in jobs:
            trials = attempts.get(job.id, [])
            self._same_settings(job, trials)
            if not trials:
                wanted.append(_Wanted(job, 0, {}))
                continue
            last = trials[-1]
            if last.state == TrialState.RUNNING and self._is_lost(last):
                last = self._end(last, "lost", "its worker is gone")
            if last.state == TrialState.FAIL and self._goes_on(last, retry_failed=retry_failed):
                kept = {} if retry_failed else {KILLS: last.user_attrs.get(KILLS, 0)}
                wanted.append(_Wanted(job, int(last.user_attrs[ATTEMPT]) + 1, kept, last))
        if wanted:
            self._add(wanted)

    def check(self, jobs: Sequence[Job]) -> None:
        """Change nothing. Raises SpecError if a job has begun with other settings."""
        attempts = self._attempts()
        for job in (each for each in jobs if each.has_begun_otherwise(attempts.get(each.id, []))):
            raise SpecError(
                f"{job.id} has begun with other settings than the sweep now says (its own: "
                f"{self._folder.path / 'cells'}); put them back, or give the changed sweep another name"
            )

    def claim(self, jobs: Sequence[Job], owner: str) -> Claim | None:
        """The next job that waits, now ours; None if none does."""
        known = {job.id for job in jobs}
        for trial in self._trials(TrialState.WAITING):
            job = trial.user_attrs.get(JOB)
            if job in known and self._won(trial, owner):
                return Claim(str(job), trial)
        return None

    def _won(self, trial: FrozenTrial, owner: str) -> bool:
        """Try to make a waiting trial ours; somebody may have been quicker, even have finished it."""
        with suppress(UpdateFinishedTrialError), self._changing():
            if not self._storage.set_trial_state_values(trial_number(trial), TrialState.RUNNING):
                return False
            if self._is_duplicate(trial):
                self._finish(trial, TrialState.FAIL, {ENDING: "duplicate"})
                return False
            self._storage.set_trial_user_attr(trial_number(trial), OWNER, owner)
            return True
        return False

    def beat(self, claim: Claim, progress: Mapping[str, Any]) -> bool:
        """Say that we live, and how far the job is. False if it was taken away: stop it, and say nothing more of it."""
        claim.beats += 1
        try:
            with self._changing():
                self._storage.set_trial_user_attr(trial_number(claim.trial), BEAT, {"beat": claim.beats, **progress})
        except UpdateFinishedTrialError:
            return False
        return True

    def finish(self, claim: Claim, value: float, result: Mapping[str, Any]) -> None:
        """The job is done."""
        self._told(claim, TrialState.COMPLETE, {RESULT: dict(result)}, value)

    def prune(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """The search has given the job up."""
        self._told(claim, TrialState.PRUNED, {RESULT: dict(result)})

    def fail(self, claim: Claim, reason: str) -> None:
        """It failed by itself, and would again."""
        self._told(claim, TrialState.FAIL, {ENDING: "failed", REASON: reason})

    def killed(self, claim: Claim, reason: str) -> None:
        """The machine killed it; it will be tried again, up to the bound."""
        self._told(claim, TrialState.FAIL, {ENDING: "killed", REASON: reason, KILLS: claim.kills + 1})

    def give_back(self, claim: Claim) -> None:
        """Stopped in order: it waits for whoever comes next."""
        with suppress(UpdateFinishedTrialError), self._changing():
            self._storage.set_trial_user_attr(trial_number(claim.trial), OWNER, "")
            self._storage.set_trial_state_values(trial_number(claim.trial), TrialState.WAITING)

    def _told(self, claim: Claim, state: TrialState, attrs: Mapping[str, Any], value: float | None = None) -> None:
        with suppress(UpdateFinishedTrialError), self._changing():
            self._finish(claim.trial, state, attrs, value)

    def _finish(
        self, trial: FrozenTrial, state: TrialState, attrs: Mapping[str, Any], value: float | None = None
    ) -> None:
        for key, each in attrs.items():
            self._storage.set_trial_user_attr(trial_number(trial), key, each)
        values = None if value is None else [value]
        self._storage.set_trial_state_values(trial_number(trial), state, values)

    def _end(self, trial: FrozenTrial, ending: Ending, reason: str) -> FrozenTrial:
        """Close a trial of a worker that is gone, unless somebody else just did."""
        with suppress(UpdateFinishedTrialError), self._changing():
            self._finish(trial, TrialState.FAIL, {ENDING: ending, REASON: reason})
        return self._storage.get_trial(trial_number(trial))

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is gone: by its lock here, by its silence elsewhere."""
        owner = str(trial.user_attrs.get(OWNER, ""))
        if not owner and self._local:
            return not self._owned_by_now(trial)
        left = self._folder.has_left(owner) if owner else None
        if left is not None:
            return left
        beat = (owner, trial.user_attrs.get(BEAT))
        seen = self._seen.get(trial.number)
        if seen is None or seen.beat != beat:
            self._seen[trial.number] = _Seen(beat)
            return False
        return time.monotonic() - seen.since > self._stale

    def _owned_by_now(self, trial: FrozenTrial) -> bool:
        """Claiming and signing are one change under the lock, so without it only the dead have not signed."""
        with self._changing():
            now = self._storage.get_trial(trial_number(trial))
        return now.state != TrialState.RUNNING or bool(now.user_attrs.get(OWNER))

    def _goes_on(self, trial: FrozenTrial, *, retry_failed: bool) -> bool:
        ending = trial.user_attrs.get(ENDING, "lost")
        if ending == "killed":
            return retry_failed or int(trial.user_attrs.get(KILLS, 0)) <= self._retries
        return ending == "lost" or (ending == "failed" and retry_failed)

    def _standing(self, job: str, trials: Sequence[FrozenTrial]) -> Standing:
        if not trials:
            return Standing(job, "waiting", None, 0)
        last = trials[-1]
        states: dict[TrialState, JobState] = {
            TrialState.WAITING: "waiting",
            TrialState.RUNNING: "running",
            TrialState.COMPLETE: "finished",
            TrialState.PRUNED: "pruned",
        }
        state = states.get(last.state) or ("waiting" if self._goes_on(last, retry_failed=False) else "failed")
        begun = sum(each.state != TrialState.WAITING or OWNER in each.user_attrs for each in trials)
        return Standing(job, state, last, begun)

    def _same_settings(self, job: Job, trials: Sequence[FrozenTrial]) -> None:
        """Of a job that has not begun: what it would now run."""
        for trial in (each for each in trials if each.user_attrs.get(SETTINGS) != job.settings):
            with suppress(UpdateFinishedTrialError), self._changing():
                self._storage.set_trial_user_attr(trial_number(trial), SETTINGS, job.settings)

    def _add(self, wanted: Sequence[_Wanted]) -> None:
        """New trials that wait, unless somebody else just added them."""
        with self._changing():
            now = self._attempts()
            for each in wanted:
                latest = now.get(each.job.id, [])
                if latest and int(latest[-1].user_attrs[ATTEMPT]) >= each.attempt:
                    continue
                attrs = {JOB: each.job.id, ATTEMPT: each.attempt, SETTINGS: each.job.settings, **each.attrs}
                trial = create_trial(
                    state=TrialState.WAITING,
                    params=dict(each.like.params) if each.like is not None else None,
                    distributions=dict(each.like.distributions) if each.like is not None else None,
                    user_attrs=attrs,
                )
                self._storage.create_new_trial(self._id, template_trial=trial)

    def _is_duplicate(self, trial: FrozenTrial) -> bool:
        same = {key: trial.user_attrs.get(key) for key in (JOB, ATTEMPT)}
        twins = [each for each in self._trials() if same.items() <= each.user_attrs.items()]
        return min(each.number for each in twins) < trial.number

    def _attempts(self) -> dict[str, list[FrozenTrial]]:
        """The trial that counts of each attempt at each job, the last attempt last."""
        found: dict[str, dict[int, FrozenTrial]] = {}
        for trial in self._trials():
            if JOB in trial.user_attrs:
                found.setdefault(trial.user_attrs[JOB], {}).setdefault(int(trial.user_attrs[ATTEMPT]), trial)
        return {job: [trials[attempt] for attempt in sorted(trials)] for job, trials in found.items()}

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """By number."""
        return self._storage.get_all_trials(self._id, deepcopy=False, states=states or None)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with self._folder.exclusive():
                yield
        except StorageInternalError as error:
            raise StorageError(f"storage: {' '.join(str(error).split())[:300]}; see to `storage`") from error


def trial_number(trial: FrozenTrial) -> int:
    """What the storage calls the trial; Optuna's own name for it begins with an underscore."""
    return trial._trial_id  # noqa: SLF001


def _open(url: str | None, folder: SweepFolder) -> BaseStorage:
    if url is None:
        url = f"{SQLITE}{folder.study.absolute()}"
    if not url.startswith("sqlite"):
        try:
            return get_storage(url)
        except (ValueError, ImportError, SQLAlchemyError) as error:
            raise SpecError(f"storage: {' '.join(str(error).split())[:300]}; see Optuna's storages") from error
    return get_storage(RDBStorage(url, engine_kwargs={"connect_args": {"timeout": PATIENCE_SECONDS}}))
