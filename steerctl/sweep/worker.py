"""One worker: claims jobs, runs their cells side by side, tells the study, and leaves nothing half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from steerctl.errors import SpecError
from steerctl.store.record import RunRecord
from steerctl.sweep.agenda import Agenda, Task
from steerctl.sweep.follow import Follower
from steerctl.sweep.jobs import Claim, Standing
from steerctl.sweep.place import Badge, SweepFolder
from steerctl.sweep.plan import Cell
from steerctl.sweep.process import CellProcess, Ended
from steerctl.sweep.progress import Display, snapshot_of
from steerctl.sweep.results import asked_for, result_of
from steerctl.sweep.slots import Slots
from steerctl.sweep.study import Board
from steerctl.sweep.summary import write_summary

POLL_SECONDS = 0.1
LOOK_SECONDS = 3.0
"""How often the study is read while nothing happens here."""


@dataclass(slots=True)
class Active:
    """A claimed job on one of our places: which of its cells runs, and what the finished ones came to."""

    claim: Claim
    task: Task
    place: int
    process: CellProcess | None = None
    follower: Follower | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    value: float | None = None
    beaten: float = -1e9
    given_up: bool = False

    @property
    def cell(self) -> Cell:
        """The cell that runs, or is next."""
        return self.task.cells[min(len(self.results), len(self.task.cells) - 1)]

    @property
    def progress(self) -> Mapping[str, Any]:
        """What the study is told while it runs."""
        step = self.follower.step if self.follower is not None else 0
        running = {self.cell.id: {"step": step, "value": self.value}}
        return {"cells": {**running, **self.results}, "params": dict(self.task.params)}


class Worker:
    """Runs until every cell that was asked for is done, here or elsewhere, or until it is told to stop."""

    def __init__(
        self, agenda: Agenda, folder: SweepFolder, board: Board, *, slots: Slots, badge: Badge, display: Display
    ) -> None:
        self._agenda, self._folder, self._board, self._badge = agenda, folder, board, badge
        self._slots, self._display, self._spec = slots, display, agenda.sweep.spec
        self._active: list[Active] = []
        self._signals: list[int] = []
        self._obeyed = 0
        self._looked = -1e9
        self._standings: dict[str, Standing] = {}

    def run(self, *, retry_failed: bool) -> dict[str, Standing]:
        """Work. Returns how every job of the sweep stands; `stopped_by` says whether a signal ended it."""
        self._board.bring_up_to_date(self._agenda.wanted, retry_failed=retry_failed)
        with self._listening():
            try:
                while not self._over():
                    self._obey()
                    for active in [*self._active]:
                        self._advance(active)
                    self._take()
                    time.sleep(POLL_SECONDS)
            finally:
                self._abandon()
        self._look()
        return self._standings

    @property
    def stopped_by(self) -> int | None:
        """The signal that ended the work, None if it ended by itself."""
        return self._signals[-1] if self._signals else None

    def _over(self) -> bool:
        if self._active:
            return False
        if self._signals:
            return True
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        open_states = ("waiting", "running")
        return bool(self._standings) and all(each.state not in open_states for each in self._asked())

    def _look(self) -> None:
        """Read the study, put back what was lost, and show how things stand."""
        if not self._signals:
            self._board.bring_up_to_date(self._agenda.wanted)
        self._standings = self._board.standings(self._agenda.jobs)
        self._looked = time.monotonic()
        shown = self._agenda.asked(self._standings)
        self._display.update(snapshot_of(self._agenda, shown, len(self._slots.devices)))

    def _take(self) -> None:
        """Claim a job for every free place."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        taken = {active.place for active in self._active}
        for place in range(len(self._slots.devices)):
            if place in taken or self._signals or not self._waiting():
                continue
            claim = self._board.claim(self._agenda.wanted, self._badge.owner)
            if claim is None:
                self._look()
                return
            self._begin(claim, place)

    def _waiting(self) -> bool:
        ours = {active.claim.job for active in self._active}
        return any(each.state == "waiting" and each.job not in ours for each in self._asked())

    def _asked(self) -> Iterable[Standing]:
        return self._agenda.asked(self._standings).values()

    def _begin(self, claim: Claim, place: int) -> None:
        try:
            task = self._agenda.task(claim, self._board)
        except SpecError as error:  # a combination that a search has drawn
            self._board.fail(claim, str(error))
            self._display.note(f"{claim.job}: failed: {error}")
            return
        active = Active(claim, task, place)
        self._active.append(active)
        self._advance(active)

    def _advance(self, active: Active) -> None:
        """One look at a job of ours."""
        if active.process is None:
            self._start(active)
        if active.process is not None:
            self._read(active)
            ended = active.process.ended()
            if ended is not None:
                self._cell_ended(active, active.process, ended)
        if active in self._active and time.monotonic() - active.beaten > self._spec.heartbeat_seconds:
            self._beat(active)

    def _start(self, active: Active) -> None:
        """Start the cell's process, once nobody writes its run folder any more (a worker that was killed dies last)."""
        if self._signals:
            self._drop(active)
            self._board.give_back(active.claim)
            return
        cell = active.cell
        if self._folder.is_written(cell):
            return
        self._folder.freeze(cell)
        again = self._folder.record(cell) is not None
        active.follower, active.value = Follower(self._folder.run(cell)), None
        active.process = CellProcess(cell, self._folder, self._slots.devices[active.place])
        self._display.note(f"{cell.id}: {'goes on' if again else 'started'}")

    def _read(self, active: Active) -> None:
        """Take in the new lines of metrics.jsonl; a search may give the trial up over them."""
        if active.follower is None:
            return
        for line in active.follower.news():
            active.value = line.get(self._spec.metric, active.value)
            self._judge(active, line)

    def _judge(self, active: Active, line: Mapping[str, float]) -> None:
        prune = self._spec.search.prune if self._spec.search is not None else None
        trial, process = active.task.trial, active.process
        if prune is None or trial is None or process is None or active.results or prune.metric not in line:
            return
        trial.report(line[prune.metric], int(line["step"]))
        if line["step"] >= prune.first_step and not active.given_up and trial.should_prune():
            active.given_up = True
            process.stop()

    def _cell_ended(self, active: Active, process: CellProcess, ended: Ended) -> None:
        active.process = None
        run = self._folder.record(active.cell)
        if ended.how == "finished" and run is not None:
            self._cell_finished(active, process, run)
        elif active.given_up:
            self._drop(active)
            self._board.prune(active.claim, active.progress)
            self._display.note(f"{active.claim.job}: given up at step {active.follower.step if active.follower else 0}")
        elif ended.how == "killed" and process.stopping:
            self._drop(active)
            self._board.give_back(active.claim)
            self._display.note(f"{active.cell.id}: stopped, saved at step {run.status.step if run is not None else 0}")
        elif ended.how == "killed":
            self._drop(active)
            self._board.killed(active.claim, ended.reason)
            left = self._spec.retries - active.claim.kills
            outlook = f"; {left} more tries" if left > 0 else "; not tried again"
            self._display.note(f"{active.cell.id}: {ended.reason}{outlook}")
        else:
            self._drop(active)
            self._board.fail(active.claim, ended.reason or "the run folder is gone")
            self._display.note(f"{active.cell.id}: failed: {ended.reason}")

    def _cell_finished(self, active: Active, process: CellProcess, run: RunRecord) -> None:
        cell, result = active.cell, result_of(run, self._spec)
        wall = time.monotonic() - process.started
        before = result.seconds - (active.follower.seconds if active.follower is not None else 0.0)
        value = result.last.get(self._spec.metric)
        if value is None:
            self._drop(active)
            self._board.fail(
                active.claim, f"{self._spec.metric} was not measured in the last {self._spec.last_steps} steps"
            )
            self._display.note(f"{cell.id}: {self._spec.metric} was not measured")
            return
        told = {"seed": cell.seed, "value": value, "wall": round(wall + max(before, 0.0), 1), **result.as_json()}
        told["asked"] = asked_for(self._spec)
        active.results[cell.id] = told
        self._display.note(f"{cell.id}: finished, {self._spec.metric} {value:.4f}")
        if len(active.results) < len(active.task.cells):
            return
        self._drop(active)
        values = [each["value"] for each in active.results.values()]
        self._board.finish(
            active.claim, sum(values) / len(values), {"cells": active.results, "params": dict(active.task.params)}
        )
        self._look()
        write_summary(self._agenda, self._folder, self._standings)

    def _beat(self, active: Active) -> None:
        active.beaten = time.monotonic()
        if self._board.beat(active.claim, active.progress):
            return
        self._drop(active)
        if active.process is not None:
            active.process.kill()
        self._display.note(f"{active.cell.id}: taken over by another worker, which thought this one gone")

    def _drop(self, active: Active) -> None:
        self._active.remove(active)

    def _obey(self) -> None:
        """Pass every new signal on to the cells: stop after the step; abandon it; die."""
        while self._obeyed < len(self._signals):
            self._obeyed += 1
            running = [active for active in self._active if active.process is not None]
            for active in running:
                if active.process is not None:
                    active.process.stop()
            words = ("stopping after this step; once more to abandon the step", "abandoning the step", "killing")
            self._display.note(f"{words[min(self._obeyed, 3) - 1]} ({len(running)} cells)")

    def _abandon(self) -> None:
        """What is still ours when something went wrong here: end it, and leave it to the next one."""
        for active in [*self._active]:
            self._drop(active)
            if active.process is not None:
                active.process.kill()
            self._board.give_back(active.claim)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature signal asks for)
            self._signals.append(number)

        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
