"""One step of RLVR, on one screen: sample, judge, credit, turn the dials, descend, push, measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.analysis.predict import Columns
from steerctl.intervention import Intervention, View, fold
from steerctl.loss import Surrogate
from steerctl.loss.reduction import Reduction, token_loss
from steerctl.protocols import Generator, Policy
from steerctl.rollout.ahead import SamplingAhead
from steerctl.rollout.collate import collate
from steerctl.rollout.collect import Collected, GroupSource
from steerctl.rollout.teacher import Teacher
from steerctl.run.populations import prepare_turns
from steerctl.run.probe import NoProbe, Probe
from steerctl.run.statistics import detached, named_failure, with_old_statistics
from steerctl.spec.correction import CorrectionSpec
from steerctl.types import Dials, Need, OptimizerReport, RolloutGroup, TokenBatch, TokenStats


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a step works with; built by run/build.py, faked in tests."""

    collector: GroupSource
    policy: Policy
    generator: Generator
    advantage: Advantage
    surrogate: Surrogate
    reduction: Reduction
    constant_norm_length: int
    interventions: Sequence[Intervention]
    updates_per_step: int
    micro_batch_tokens: int
    device: str
    entropy_after_every: int
    correction: CorrectionSpec | None = None
    teacher: Teacher | None = None
    probe: Probe = field(default_factory=NoProbe)

    @property
    def needs(self) -> frozenset[Need]:
        """What some active intervention declares beyond the standing statistics."""
        return frozenset().union(*(intervention.needs for intervention in self.interventions))

    def loss(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
        """The loss of one micro-batch under these dials."""
        surrogate_BT = self.surrogate(dials, batch, stats)
        return token_loss(dials, surrogate_BT, batch, self.reduction, self.constant_norm_length)

    def settle(self) -> None:
        """Wait for rollouts that are being sampled with the weights before the push; collective."""
        if isinstance(self.collector, SamplingAhead):
            self.collector.settle()

    def measures_after(self, step: int) -> bool:
        """Whether the entropy after the update is measured in this step (from 0): in those whose rollouts are saved."""
        return self.entropy_after_every > 0 and (step + 1) % self.entropy_after_every == 0


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step leaves behind, for metrics and the run folder.

    groups        after `reshape`, with the rewards that were credited
    views         this rank's micro-batches with the dials and statistics of their own update, detached
    after         statistics at the same positions after the last update, one per view; empty if not measured
    reports       one per update
    step          as run_step was given it; also the version of the weights it began with
    probed        what the probe found, an entry per update it looked at: columns of the token table
    """

    collected: Collected
    groups: Sequence[RolloutGroup]
    advantages_PG: Tensor
    views: Sequence[View]
    after: Sequence[TokenStats]
    reports: Sequence[OptimizerReport]
    step: int
    probed: Sequence[Columns] = ()


def run_step(parts: Parts, step: int, cursor: int) -> StepOutcome:
    """Run step number `step` from problem position `cursor`. Collective: every rank calls it with the same arguments.

    Raises NonFiniteError, with step, update and micro-batch named and the weights of the last good update in place.
    """
    policy, surrogate, needs = parts.policy, parts.surrogate, parts.needs
    collected = parts.collector.collect(step, cursor)
    groups: Sequence[RolloutGroup] = collected.groups
    for intervention in parts.interventions:
        groups = intervention.reshape(groups)
    rewards_PG = torch.tensor([group.rewards_G for group in groups], dtype=torch.float32)
    lengths_PG = torch.tensor([[len(rollout.token_ids_T) for rollout in group.rollouts] for group in groups])
    advantages_PG = parts.advantage(rewards_PG, lengths_PG)
    updates = collate(
        groups, advantages_PG, updates=parts.updates_per_step, rank=policy.rank, ranks=policy.world_size,
        micro_batch_tokens=parts.micro_batch_tokens, device=parts.device,
    )  # fmt: skip
    updates = tuple(with_old_statistics(policy, update, needs, parts.correction) for update in updates)
    updates = parts.teacher.taught(policy, groups, updates) if parts.teacher is not None else updates
    views: list[View] = []
    reports: list[OptimizerReport] = []
    for update in updates:
        turns = prepare_turns(parts.interventions, surrogate, policy, update, updates, step=step, loss=parts.loss)
        watch = parts.probe.watch(update, turns, step=step, loss=parts.loss)
        for batch in update.micro_batches:
            stats = policy.forward(batch, needs)
            dials = fold(turns, surrogate.neutral_dials(batch), batch, stats)
            policy.backward(parts.loss(dials, batch, stats))
            views.append(detached(View(dials, batch, stats)))
        with named_failure(step, update):
            reports.append(watch.around(policy.step, views))
    parts.settle()
    parts.generator.load_weights(policy.weights(), step + 1)
    after = [policy.measure(view.batch) for view in views] if parts.measures_after(step) else []
    return StepOutcome(collected, groups, advantages_PG, views, after, reports, step, parts.probe.take())
