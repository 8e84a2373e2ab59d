"""Processes that parse and compare untrusted formulas; one that takes too long is killed and replaced.

Workers are started from an executable, not forked: a fork of a process with torch threads can hang. They start when
there is first something to do, so a run whose answers are all integers never has any.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steerctl.errors import EngineError
from steerctl.reward.grading.worker import Kind
from steerctl.types import Status

_START_SECONDS = 120.0
_GIB = 1 << 30
_ROOT = str(Path(__file__).resolve().parents[3])


@dataclass(frozen=True, slots=True)
class Task:
    """Is any of `answers` equal to `gold`?

    kind  how an answer is read: "box" as one formula, "prose" with a formula somewhere in it, "line" both ways;
          "gold": can `gold` be read? "qwen", "default": the modes of qwen.py and of math-verify as published
    """

    kind: Kind
    gold: str
    answers: tuple[str, ...] = ()
    relative_tolerance: float = 1e-6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker found, or what became of it."""

    right: bool
    status: Status
    why: str


class _Worker:
    """One process with at most one task; `task` is its index in the batch, `until` the moment it is killed."""

    def __init__(self, memory_gib: float) -> None:
        boot = (
            f"import sys; sys.path.insert(0, {_ROOT!r}); "
            f"from steerctl.reward.grading.worker import main; main({int(memory_gib * _GIB)})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            start_new_session=True,  # an interrupt at the keyboard is for the run, which closes its workers itself
            bufsize=0,
        )
        self.ready = False
        self.task: int | None = None
        self.until = time.monotonic() + _START_SECONDS
        self._rest = b""

    @property
    def output(self) -> int:
        """File descriptor of its replies."""
        assert self.process.stdout is not None  # noqa: S101 (always piped)
        return self.process.stdout.fileno()

    def give(self, index: int, task: Task, seconds: float) -> None:
        """Send a task; a worker that has died is noticed when its replies end."""
        line = json.dumps({"id": index, **asdict(task)})
        self.task, self.until = index, time.monotonic() + seconds
        assert self.process.stdin is not None  # noqa: S101 (always piped)
        data = memoryview(line.encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[self.process.stdin.write(data) or 0 :]

    def replies(self) -> list[dict[str, Any]] | None:
        """Whole lines that have arrived; None once there will be no more."""
        chunk = os.read(self.output, 1 << 16)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> int:
        """End it now; its exit status."""
        self.process.kill()
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return status


class WorkerPool:
    """At most `size` workers, `seconds` of wall clock per task, `memory_gib` of address space each."""

    def __init__(self, size: int, seconds: float, memory_gib: float) -> None:
        self._size, self._seconds, self._memory_gib = size, seconds, memory_gib
        self._workers: list[_Worker] = []
        self.replaced = 0

    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """One outcome per task, in order, whatever the tasks do to the workers. Raises EngineError if none starts."""
        batch = _Batch(tasks)
        try:
            while not batch.done:
                self._assign(batch)
                self._collect(batch)
        except BaseException:
            self.close()  # a worker in the middle of a task would answer the next batch
            raise
        return [batch.outcomes[index] for index in range(len(tasks))]

    def close(self) -> None:
        """Kill and reap every worker; may be called twice, and the pool may be used again."""
        while self._workers:
            self._workers.pop().kill()

    def pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [worker.process.pid for worker in self._workers]

    def _assign(self, batch: _Batch) -> None:
        """Give waiting tasks to idle workers, after replacing any that died meanwhile."""
        for worker in [one for one in self._workers if one.task is None and one.process.poll() is not None]:
            self._drop(worker, batch, None)
        for worker in self._workers:
            if worker.ready and worker.task is None and batch.waiting:
                index = batch.waiting.popleft()
                worker.give(index, batch.tasks[index], self._seconds)
        starting = sum(not worker.ready for worker in self._workers)
        while len(self._workers) < self._size and starting < len(batch.waiting):
            self._workers.append(_Worker(self._memory_gib))
            starting += 1

    def _collect(self, batch: _Batch) -> None:
        """Wait for the next reply or deadline, then take what there is."""
        busy = [worker for worker in self._workers if worker.task is not None or not worker.ready]
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            wait = max(0.0, min(worker.until for worker in busy) - time.monotonic())
            heard: list[_Worker] = [key.data for key, _ in selector.select(wait)]
        for worker in heard:
            self._hear(worker, batch)
        now = time.monotonic()
        for worker in busy:
            if worker not in heard and worker.until <= now:
                self._drop(
                    worker, batch, Outcome(right=False, status="timeout", why=f"killed after {self._seconds:g} s")
                )

    def _hear(self, worker: _Worker, batch: _Batch) -> None:
        replies = worker.replies()
        if replies is None:
            self._drop(worker, batch, None)
            return
        for reply in replies:
            if not worker.ready:
                if reply["status"] != "ok":
                    raise EngineError(f"a grading process cannot start: {reply['why']}")
                worker.ready = True
            elif reply["id"] == worker.task:
                batch.outcomes[reply["id"]] = Outcome(reply["right"], reply["status"], reply["why"])
                worker.task = None

    def _drop(self, worker: _Worker, batch: _Batch, outcome: Outcome | None) -> None:
        """Kill a worker; its task gets `outcome`, or an error that names how the worker ended."""
        self._workers.remove(worker)
        status = worker.kill()
        if not worker.ready:
            raise EngineError(f"a grading process did not start (exit status {status}); is math-verify installed?")
        self.replaced += 1
        if worker.task is not None:
            batch.outcomes[worker.task] = outcome or Outcome(
                right=False, status="error", why=f"worker ended ({status})"
            )


class _Batch:
    """The tasks of one call and what has come back."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.waiting = deque(range(len(tasks)))
        self.outcomes: dict[int, Outcome] = {}

    @property
    def done(self) -> bool:
        return len(self.outcomes) == len(self.tasks)
