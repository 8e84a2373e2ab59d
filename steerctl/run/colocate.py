"""Servers on the trainer's own GPUs: awake to sample, asleep while the policy is trained."""

from __future__ import annotations

from dataclasses import dataclass

from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.rollout.collect import Collected, GroupSource


@dataclass(frozen=True, slots=True)
class RestAfter:
    """A source of groups that lets the servers sleep once a step's groups are there; `load_weights` wakes them.

    Every rank has all groups when `collect` returns, so none samples any more; validation samples between a push and
    the next step, when the servers are awake.
    """

    source: GroupSource
    generator: ServedGenerator

    def collect(self, step: int, cursor: int) -> Collected:
        """The groups of the source."""
        found = self.source.collect(step, cursor)
        self.generator.rest()
        return found
