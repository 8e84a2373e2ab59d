"""A probe that takes updates apart: every optimiser step through a lens, in one process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from steerctl.analysis.columns import PLAIN, TRAINED
from steerctl.analysis.decompose import LossSlopes, loss_slopes
from steerctl.analysis.lens import Lens
from steerctl.analysis.predict import Columns
from steerctl.analysis.probed import Choice, Probed
from steerctl.analysis.table import joined
from steerctl.engine.motion import Motion, MotionWatch, sgd_motion
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.intervention import Turn, View, fold
from steerctl.loss import Surrogate
from steerctl.run.probe import OptimizerStep, Watch
from steerctl.run.slopes import Loss
from steerctl.types import OptimizerReport, TokenStats, Update


@dataclass(frozen=True)
class Laboratory:
    """`run.probe.Probe` that looks at every update, with all columns of the token table.

    policy        of one rank
    model         of the policy's architecture, for the lens; its weights are not read
    choice        which tokens of an update
    token_budget  padded positions of one pass
    own           with the terms of each token's own gradient, which cost most
    sgd           learning rate of a step of plain gradient descent from the same weights along the same clipped
                  gradient, which is taken apart as well, in rows of its own; None: none is
    max_grad_norm to which that gradient is clipped
    """

    policy: DeepSpeedPolicy
    model: nn.Module
    surrogate: Surrogate
    temperature: float
    updates_per_step: int
    choice: Choice
    token_budget: int
    own: bool
    dtype: torch.dtype
    sgd: float | None = None
    max_grad_norm: float = math.inf
    found: list[Columns] = field(default_factory=list)

    def watch(self, update: Update, turns: Sequence[Turn], *, step: int, loss: Loss) -> Watch:
        """Choose the tokens, and remember the weights."""
        number = step * self.updates_per_step + update.index
        probed = Probed.of(update, self.policy.all_gather, self.choice, number, self.token_budget)
        return _Opened(self, probed, MotionWatch(self.policy), tuple(turns), loss)

    def take(self) -> Sequence[Columns]:
        """What was found since the last call."""
        found = tuple(self.found)
        self.found.clear()
        return found


@dataclass(frozen=True, slots=True)
class _Opened:
    """One update that is taken apart."""

    laboratory: Laboratory
    probed: Probed
    before: MotionWatch
    turns: tuple[Turn, ...]
    loss: Loss

    def around(self, step: OptimizerStep, views: Sequence[View]) -> OptimizerReport:
        """The step, then the lens on its motion."""
        room, probed = self.laboratory, self.probed
        own_views = views[len(views) - len(probed.masks) :]
        slopes = self._slopes(own_views)
        report = step()
        motion = self.before.motion(report)
        columns = probed.foretold(
            own_views, report, room.policy.all_gather, dual_clip=getattr(room.surrogate, "dual_clip", None)
        )
        seen = [{**columns, **self._seen(TRAINED, motion, slopes)}]
        if room.sgd is not None:
            plain = sgd_motion(motion.before, motion.gradient, room.sgd, max_grad_norm=room.max_grad_norm)
            seen.append({**columns, **self._seen(PLAIN, plain, slopes)})
        room.found.append(joined(seen))
        return report

    def _seen(self, optimiser: str, motion: Motion, slopes: Sequence[LossSlopes | None]) -> Columns:
        """What the lens shows of a motion of the weights."""
        room, probed = self.laboratory, self.probed
        lens = Lens(room.model, motion, temperature=room.temperature, dtype=room.dtype)
        parts = [
            lens.decompose(batch, batch.loss_mask_BT, each).columns()
            for batch, each in zip(probed.batches, slopes, strict=True)
        ]
        if not parts:
            return {}
        columns: Columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        count = len(columns["measured"])
        return columns | {
            "optimiser": np.full(count, optimiser),
            "learning_rate": np.full(count, motion.learning_rate),
        }

    def _slopes(self, views: Sequence[View]) -> Sequence[LossSlopes | None]:
        """The loss's slopes at the chosen tokens; of whole micro-batches' losses, since a loss may tie tokens."""
        room, packs = self.laboratory, self.probed.packs
        if not room.own:
            return [None] * len(packs)
        whole = [view_slopes(view, self.turns, room.surrogate, self.loss) for view in views]
        return [
            LossSlopes(
                pack.gather([each.logprobs_BT for each in whole]), pack.gather([each.entropy_BT for each in whole])
            )
            for pack in packs
        ]


def view_slopes(view: View, turns: Sequence[Turn], surrogate: Surrogate, loss: Loss) -> LossSlopes:
    """How the loss of a micro-batch changes with each statistic of it, the turns of its update included."""

    def of(stats: TokenStats) -> Tensor:
        return loss(fold(turns, surrogate.neutral_dials(view.batch), view.batch, stats), view.batch, stats)

    return loss_slopes(of, view.stats)
