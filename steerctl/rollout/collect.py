"""Take problems, sample responses, judge them, keep informative groups: one step's groups, alike on every rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from steerctl.data.order import problem_at
from steerctl.data.tokenise import PreparedProblems
from steerctl.protocols import Generator, Ranks, Verifier
from steerctl.rollout.seeds import rollout_seed
from steerctl.types import Problem, Request, Rollout, RolloutGroup, Sampling, Verdict

Shape = Callable[[Sequence[Verdict], Sequence[Rollout]], tuple[float, ...]]
"""Verdicts and rollouts of a group -> its rewards."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The groups of one step, in the order of problems.

    cursor    how many problems have been asked since the start of the run
    asked     problems asked in this step; more than len(groups) when groups were replaced
    replaced  groups without signal that dynamic sampling left out
    """

    groups: tuple[RolloutGroup, ...]
    cursor: int
    asked: int
    replaced: int


class GroupSource(Protocol):
    """Where a step's groups come from."""

    def collect(self, step: int, cursor: int) -> Collected:
        """The groups of step number `step`, from position `cursor` of the order of problems; alike on every rank."""


@dataclass(frozen=True, slots=True)
class Collector:
    """What a step needs to sample: the same on every rank, each generating its share of the problems."""

    prompts: PreparedProblems
    generator: Generator
    verifier: Verifier
    shape: Shape
    ranks: Ranks
    sampling: Sampling
    seed: int
    problems: int
    group_size: int
    max_rounds: int | None
    """Rounds of dynamic sampling; None: every group is kept."""

    def collect(self, step: int, cursor: int, first: Sequence[RolloutGroup] | None = None) -> Collected:
        """Groups for `problems` problems from position `cursor` of the endless order of problems.

        With dynamic sampling, groups whose verdicts are all alike are replaced by those of the next problems, for at
        most `max_rounds` rounds; if that is not enough the step is filled up with groups without signal, which have
        zero advantage and are counted.

        first: what `first_share(step, cursor)` gave, if that is done already.
        """
        start, kept, spare = cursor, list[RolloutGroup](), list[RolloutGroup]()
        for _ in range(self.max_rounds or 1):
            share = self.first_share(step, cursor) if first is None else first
            groups, first = self._together(share, self.problems), None
            cursor += self.problems
            for group in groups:
                (kept if self.max_rounds is None or is_informative(group) else spare).append(group)
            if len(kept) >= self.problems:
                break
        replaced = len(spare) - max(0, self.problems - len(kept))
        filled = tuple((kept + spare)[: self.problems])
        return Collected(filled, cursor, cursor - start, replaced)

    def first_share(self, step: int, cursor: int) -> list[RolloutGroup]:
        """This rank's share of the first round of `collect`; no collective, so it may run beside training."""
        return self._share(range(cursor, cursor + self.problems), step)

    def sample(self, positions: Sequence[int], step: int) -> list[RolloutGroup]:
        """The groups at these positions; this rank generates and judges every world_size-th, all ranks get all."""
        return self._together(self._share(positions, step), len(positions))

    def _share(self, positions: Sequence[int], step: int) -> list[RolloutGroup]:
        own = positions[self.ranks.rank :: self.ranks.world_size]
        indices = [problem_at(position, len(self.prompts.problems), self.seed) for position in own]
        requests = [
            Request(
                problem_id=self.prompts.problems[index].id,
                prompt_ids=self.prompts.prompt_ids[index],
                seeds=tuple(rollout_seed(self.seed, step, position, sample) for sample in range(self.group_size)),
            )
            for position, index in zip(own, indices, strict=True)
        ]
        problems = [self.prompts.problems[index] for index in indices]
        answered = self.generator.generate(requests, self.sampling)
        return self._judge(problems, requests, answered)

    def _together(self, share: Sequence[RolloutGroup], count: int) -> list[RolloutGroup]:
        shares = self.ranks.all_gather(share)
        return [shares[turn % len(shares)][turn // len(shares)] for turn in range(count)]

    def _judge(
        self, problems: Sequence[Problem], requests: Sequence[Request], answered: Sequence[tuple[Rollout, ...]]
    ) -> list[RolloutGroup]:
        pairs = [
            (problem, rollout.text)
            for problem, rollouts in zip(problems, answered, strict=True)
            for rollout in rollouts
        ]
        verdicts = iter(self.verifier.verify(pairs))
        groups = []
        for problem, request, rollouts in zip(problems, requests, answered, strict=True):
            own = tuple(next(verdicts) for _ in rollouts)
            groups.append(RolloutGroup(problem, request.prompt_ids, rollouts, own, self.shape(own, rollouts)))
        return groups


def is_informative(group: RolloutGroup) -> bool:
    """Whether the verdicts differ: DAPO filters on accuracy, not on the shaped reward (methods: dynamic sampling)."""
    return len({verdict.value for verdict in group.verdicts}) > 1
