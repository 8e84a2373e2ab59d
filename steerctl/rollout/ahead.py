"""One step ahead: the groups of the next step are sampled while this one is trained."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Thread

from steerctl.errors import EngineError
from steerctl.rollout.collect import Collected, Collector
from steerctl.types import RolloutGroup


@dataclass(frozen=True, slots=True)
class Pending:
    """Groups that wait for their step; alike on every rank, and part of a checkpoint."""

    step: int
    collected: Collected


@dataclass(frozen=True, slots=True)
class _Sampling:
    """A first share under way, by the weights that the generator has now."""

    step: int
    cursor: int
    share: Future[list[RolloutGroup]]


class SamplingAhead:
    """A `GroupSource` that hands out what was sampled a step ago and has the next sampled meanwhile.

    The groups of step k are sampled with the weights that step k − 1 began with, so their staleness is 1; those of step
    0 with the first weights. `collect` starts the sampling for the next step, `settle` waits for it and must be called
    before new weights are pushed, so no response mixes two versions. In between only this rank's own share is sampled
    and judged, without a collective; gathering, and the further rounds of dynamic sampling, happen in `settle`, by the
    same weights. Seeds, problems and weights being given, nothing depends on which of the two was faster.

    aside    sample in a thread of its own (the servers work while this process trains); false: at once, in `collect`
    waiting  a clock around the wait in `settle`
    """

    def __init__(
        self,
        collector: Collector,
        *,
        aside: bool,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.collector, self._aside, self._waiting = collector, aside, waiting
        self._sampling: _Sampling | None = None
        self.pending: Pending | None = None

    def collect(self, step: int, cursor: int) -> Collected:
        """The groups of step number `step`; sampling for the next one has begun when this returns."""
        if self._sampling is not None:
            raise RuntimeError("settle() was not called before the next step")
        if self.pending is not None and self.pending.step == step:
            collected = self.pending.collected
        else:
            collected = self.collector.collect(step, cursor)
        self.pending = None
        self._sampling = _Sampling(step + 1, collected.cursor, self._begin(step + 1, collected.cursor))
        return collected

    def settle(self) -> None:
        """Wait until the next step's groups are there, all by the same weights; collective.

        Raises:
            EngineError, ...: what sampling raised, or if weights were changed under way.
        """
        if self._sampling is None:
            return
        sampling = self._sampling
        with self._waiting():
            share = sampling.share.result()
        self._sampling = None
        collected = self.collector.collect(sampling.step, sampling.cursor, share)
        versions = {rollout.weight_version for group in collected.groups for rollout in group.rollouts}
        if len(versions) > 1:
            raise EngineError(f"the rollouts of step {sampling.step + 1} are by several weight versions: {versions}")
        self.pending = Pending(sampling.step, collected)

    def restore(self, pending: Pending) -> None:
        """What a checkpoint held, in the place of sampling it."""
        self.pending = pending

    def _begin(self, step: int, cursor: int) -> Future[list[RolloutGroup]]:
        share: Future[list[RolloutGroup]] = Future()

        def work() -> None:
            try:
                share.set_result(self.collector.first_share(step, cursor))
            except Exception as error:  # noqa: BLE001 (raised again by settle)
                share.set_exception(error)

        if self._aside:
            # A daemon: when training fails, nobody waits for responses that nobody needs.
            Thread(target=work, name="sampling-ahead", daemon=True).start()
        else:
            share.set_result(self.collector.first_share(step, cursor))
        return share
