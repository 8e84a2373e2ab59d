"""`analysis.probe`: around an optimiser step, what it did to some tokens' entropy and what was foretold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from steerctl.analysis.predict import Columns
from steerctl.analysis.probed import Choice, Probed
from steerctl.analysis.table import joined
from steerctl.intervention import Turn, View
from steerctl.loss import Surrogate
from steerctl.protocols import Policy
from steerctl.run.slopes import Loss, UpdateSlopes
from steerctl.run.timing import Clock
from steerctl.spec.analysis import ProbeSpec
from steerctl.types import OptimizerReport, Update

OptimizerStep = Callable[[], OptimizerReport]


class Watch(Protocol):
    """One update being looked at."""

    def around(self, step: OptimizerStep, views: Sequence[View]) -> OptimizerReport:
        """Take the optimiser step, and look at the tokens before and after it; collective.

        views  of the step so far; the last ones are this update's
        """


class Probe(Protocol):
    """Looks at updates and changes nothing of them. Every method but `take` is collective."""

    def watch(self, update: Update, turns: Sequence[Turn], *, step: int, loss: Loss) -> Watch:
        """Whoever looks at this update; called before its first gradient. step: from 0."""

    def take(self) -> Sequence[Columns]:
        """What was found since the last call, an entry per update looked at, the tokens of all ranks on every rank."""


class NoProbe:
    """Looks at nothing."""

    def watch(self, update: Update, turns: Sequence[Turn], *, step: int, loss: Loss) -> Watch:  # noqa: ARG002 (Probe)
        """Nobody looks."""
        return self

    def around(self, step: OptimizerStep, views: Sequence[View]) -> OptimizerReport:  # noqa: ARG002 (Watch)
        """The step alone."""
        return step()

    def take(self) -> Sequence[Columns]:
        """Nothing."""
        return ()


@dataclass(frozen=True)
class TokenProbe:
    """Looks at every `spec.every`-th update of the run, the first included, at any ZeRO stage and number of ranks.

    measured     H after the step less H before it
    first_order  the derivative of H along the change of the weights, at the weights before it, by a central difference
                 (clipping, moments and weight decay are in that change)

    policy        without a clock around it: all passes count as `probe`
    token_budget  padded positions of one pass
    alike         take H before the step in the same batches as after it, one more pass, and not from the update's own
                  statistics: in bfloat16 the shape of a batch decides how it rounds, by more than a step changes
    """

    spec: ProbeSpec
    policy: Policy
    surrogate: Surrogate
    clock: Clock
    seed: int
    updates_per_step: int
    token_budget: int
    alike: bool
    found: list[Columns] = field(default_factory=list)

    def watch(self, update: Update, turns: Sequence[Turn], *, step: int, loss: Loss) -> Watch:  # noqa: ARG002 (Probe)
        """Choose the tokens, or let the update pass."""
        number = step * self.updates_per_step + update.index
        if number % self.spec.every:
            return NoProbe()
        with self.clock("probe"):
            choice = Choice(self.seed, self.spec.positions, self.spec.sequences)
            probed = Probed.of(update, self.policy.all_gather, choice, number, self.token_budget)
            sensitivities: Sequence[Tensor] | None = None
            if self.spec.influence:
                sensitivities = UpdateSlopes(self.policy, self.surrogate, loss, update, (), step).sensitivities()
            return _Watched(self, probed, self.entropies(probed) if self.alike else None, sensitivities)

    def take(self) -> Sequence[Columns]:
        """What was found since the last call."""
        found = tuple(self.found)
        self.found.clear()
        return found

    def entropies(self, probed: Probed) -> list[Tensor]:
        """H at the chosen tokens under the weights as they are now, [B, T] per batch."""
        return [self.policy.measure(batch).entropy_BT for batch in probed.batches]


@dataclass(frozen=True, slots=True)
class _Watched:
    """One update that is looked at.

    before         H [B, T] of the chosen sequences, if it is not that of the update's statistics
    sensitivities  of every micro-batch, for `influence`
    """

    probe: TokenProbe
    probed: Probed
    before: Sequence[Tensor] | None
    sensitivities: Sequence[Tensor] | None

    def around(self, step: OptimizerStep, views: Sequence[View]) -> OptimizerReport:
        """The step, then everything again."""
        probe, probed, policy = self.probe, self.probed, self.probe.policy
        with probe.clock("probe"):
            mark = policy.mark() if probe.spec.first_order else None
        report = step()
        with probe.clock("probe"):
            columns = probed.foretold(
                views[len(views) - len(probed.masks) :], report, policy.all_gather,
                dual_clip=getattr(probe.surrogate, "dual_clip", None), sensitivities=self.sensitivities,
            )  # fmt: skip
            before = columns["entropy"] if self.before is None else probed.pick(self.before)
            columns["measured"] = probed.pick(probe.entropies(probed)) - before
            if mark is not None:
                change = policy.moved(mark)
                columns["first_order"] = probed.pick(policy.slopes(change, probed.batches, of="entropy", back=1.0))
            probe.found.append(joined(policy.all_gather(columns)))
        return report
