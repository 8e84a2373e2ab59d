"""Rollouts that were sampled before, in the place of sampling: step k takes the k-th block of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from steerctl.errors import DataError
from steerctl.protocols import Ranks, Verifier
from steerctl.rollout.collect import Collected, Shape
from steerctl.types import Problem, Request, Rollout, RolloutGroup, Sampling, Verdict

if TYPE_CHECKING:
    from torch import Tensor

Block = Callable[[int, int], Sequence[RolloutGroup]]
"""Saved groups number start to stop, in the order they were saved."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A `GroupSource` that samples nothing: the same on every rank.

    known     the problems of the experiment's own data, by id: they are what is credited, not what the file says
    judge     judges the saved texts again; None: the saved verdicts stand
    problems  groups of a step
    replaced  groups that dynamic sampling left out when these were sampled, by step from 0
    """

    block: Block
    known: Mapping[str, Problem]
    judge: Verifier | None
    shape: Shape
    ranks: Ranks
    problems: int
    replaced: Mapping[int, int]

    def collect(self, step: int, cursor: int) -> Collected:
        """Block number `step`, whatever the cursor."""
        saved = self.block(step * self.problems, (step + 1) * self.problems)
        if len(saved) < self.problems:
            raise DataError(f"the saved rollouts end before step {step + 1}; set steps={step}")
        verdicts = self._verdicts(saved)
        groups = tuple(
            replace(
                group,
                problem=self.known[group.problem.id],
                verdicts=own,
                rewards_G=self.shape(own, group.rollouts),
            )
            for group, own in zip(saved, verdicts, strict=True)
        )
        replaced = self.replaced.get(step, 0)
        return Collected(groups, cursor + self.problems, self.problems + replaced, replaced)

    def _verdicts(self, groups: Sequence[RolloutGroup]) -> list[tuple[Verdict, ...]]:
        """One tuple per group; this rank judges every world_size-th, all ranks get all."""
        if self.judge is None:
            return [group.verdicts for group in groups]
        own = groups[self.ranks.rank :: self.ranks.world_size]
        pairs = [(self.known[group.problem.id], rollout.text) for group in own for rollout in group.rollouts]
        judged = iter(self.judge.verify(pairs))
        shares = self.ranks.all_gather([tuple(next(judged) for _ in group.rollouts) for group in own])
        return [shares[turn % len(shares)][turn // len(shares)] for turn in range(len(groups))]


class NoGenerator:
    """`protocols.Generator` of a run that samples nothing: new weights are of no interest."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """Never called."""
        raise RuntimeError(f"asked for {len(requests)} requests of {sampling.max_tokens} tokens; nothing samples here")

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Nothing, and nothing is gathered."""

    def close(self) -> None:
        """Nothing is held."""
