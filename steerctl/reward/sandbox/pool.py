"""Checks over workers, at most one per core; a worker that fails is replaced, and only then is its job tried again."""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Sequence

from steerctl.errors import EngineError
from steerctl.reward.sandbox.check import Check
from steerctl.reward.sandbox.job import Job, Reply
from steerctl.reward.sandbox.tiers import Interpreter, Tier
from steerctl.reward.sandbox.worker import Worker

ATTEMPTS = 2
"""For a job whose worker failed; what the code itself does is never tried again."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


class Pool:
    """Workers of one tier, started when there is first something to do; not for use from two threads at once."""

    def __init__(self, tier: Tier, python: Interpreter, size: int) -> None:
        self.size = max(1, min(size, cores()))
        self.replaced = 0
        self._tier, self._python = tier, python
        self._workers: list[Worker] = []

    def run(self, checks: Sequence[Check]) -> None:
        """Every check until it is decided, whatever the code in it does. Raises EngineError if no worker starts."""
        batch = _Batch(checks)
        try:
            while batch.open:
                self._assign(batch)
                self._collect(batch)
        except BaseException:
            self.close()  # a worker in the middle of a job would answer the next batch
            raise

    def renew(self) -> None:
        """Replace every worker, so that nothing of earlier jobs is in reach of later ones."""
        self.close()

    def close(self) -> None:
        """End every worker; may be called twice, and the pool may be used again."""
        while self._workers:
            self._workers.pop().kill()

    def pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [worker.process.pid for worker in self._workers]

    def _assign(self, batch: _Batch) -> None:
        for worker in [each for each in self._workers if each.running is None and each.process.poll() is not None]:
            self._lose(worker, batch)
        for worker in [each for each in self._workers if each.worn and each.running is None]:
            self._workers.remove(worker)
            worker.kill()
        for worker in self._workers:
            if worker.ready and worker.running is None and batch.waiting:
                index, job = batch.waiting.popleft()
                batch.at[worker] = index
                worker.give(job)
        starting = sum(not worker.ready for worker in self._workers)
        while len(self._workers) < self.size and starting < len(batch.waiting):
            self._workers.append(Worker(self._tier, self._python))
            starting += 1

    def _collect(self, batch: _Batch) -> None:
        busy = [worker for worker in self._workers if worker.running is not None or not worker.ready]
        if not busy:
            return
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            wait = max(0.0, min(worker.until for worker in busy) - time.monotonic())
            heard: list[Worker] = [key.data for key, _ in selector.select(wait)]
        for worker in heard:
            alive = worker.hear()
            found = worker.reply()
            if found is not None:
                batch.answer(batch.at.pop(worker), found)
            elif not alive:
                self._lose(worker, batch)
        now = time.monotonic()
        for worker in busy:
            if worker not in heard and worker.until <= now:
                self._lose(worker, batch)

    def _lose(self, worker: Worker, batch: _Batch) -> None:
        """A worker that died, or does not answer."""
        self._workers.remove(worker)
        last = worker.kill()
        if not worker.ready:
            raise EngineError(f"the sandbox ({self._tier}) does not start: {last}; see `steerctl doctor`")
        self.replaced += 1
        if worker in batch.at:
            batch.failed(batch.at.pop(worker), worker.running, last)


class _Batch:
    """The checks of one call: jobs that wait, jobs at a worker, how often each failed."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = checks
        self.at: dict[Worker, int] = {}
        self.waiting: deque[tuple[int, Job]] = deque()
        self._failures: dict[int, int] = {}
        for index, check in enumerate(checks):
            job = check.next()
            if job is not None:
                self.waiting.append((index, job))

    @property
    def open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.waiting or self.at)

    def answer(self, index: int, reply: Reply) -> None:
        """Pass a reply on, and queue what the check wants next."""
        self.checks[index].take(reply)
        job = self.checks[index].next()
        if job is not None:
            self.waiting.appendleft((index, job))

    def failed(self, index: int, job: Job | None, why: str) -> None:
        """Once more, or an answer that says so."""
        self._failures[index] = self._failures.get(index, 0) + 1
        if job is not None and self._failures[index] < ATTEMPTS:
            self.waiting.append((index, job))
        else:
            self.answer(index, Reply("infra_error", f"the sandbox failed: {why}"))
