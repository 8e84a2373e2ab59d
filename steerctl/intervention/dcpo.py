"""DCPO: clip bounds that widen where the old probability is small, and advantages smoothed over a problem's visits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._history import smoothed
from steerctl.intervention._remarks import CLIP, Handles, OnlyWith, Surroundings, uniform_groups_remarks
from steerctl.intervention._verdicts import of_rows, remembered
from steerctl.types import Dials, RolloutGroup, TokenBatch, TokenStats


class Dcpo(Intervention):
    """Dynamic clip: the ratio is held in [low(q), high(q)], q = π_old of the token; smooth advantage: A is a blend.

        low(q) = ½ + ½√max(1 − 4ε_low/q, 0)     high(q) = min(½ + ½√(1 + 4ε_high/q), ratio_max)

    the roots of |r − 1|·r·q = ε: a certain token is held in about [0.8, 1.17], one of q ≤ 4ε_low may halve, and a rare
    one may grow ratio_max times in one step. On the i-th visit to a problem, with A_new the z-score of a reward in this
    group and A_tot that among all rewards the problem has had, this group's included,

        A = the one of smaller size of ((i − 1)·A_new + A_tot)/i and (A_new + (i − 1)·A_tot)/i

    so that a group of equal rewards still learns from earlier ones. The estimator's advantages and what earlier
    interventions made of them play no part then, so it stands first. The history (visits, count, sum and sum of squares
    of each problem's rewards) is kept in checkpoints. Factors touched: clip, probability, advantage. Without
    smooth_advantage nothing happens on the first update of a step.

    Presets, each an entry of algorithm.interventions:

        dcpo: {kind: dcpo}
        run_dcpo: {kind: dcpo, clip_ratio_low: 0.2, clip_ratio_high: 0.28}
        dynamic_clip: {kind: dcpo, smooth_advantage: false}
        smooth_advantage: {kind: dcpo, dynamic_clip: false}

    Source: arXiv 2509.02333; lime-RL/DCPO (README and `run_dcpo.sh` differ in ε), with loss.dual_clip 10, G 16, no KL.

    Departures: (1) averaging: their third part, each response's mean over its own tokens without a mean over the batch,
    is reduction seq_mean_token_mean times the number of sequences; their code takes the mean over a micro-batch's
    tokens, and their Chinese README no mean; (2) deviations have divisor n − 1, equal rewards a z-score of 0.
    """

    kind: Literal["dcpo"] = "dcpo"
    dynamic_clip: bool = True
    """Whether the bounds are set."""
    clip_ratio_low: Annotated[NonNegativeFloat, OnlyWith(dynamic_clip=True)] = 0.16
    """ε_low (README 0.16, script 0.2)."""
    clip_ratio_high: Annotated[NonNegativeFloat, OnlyWith(dynamic_clip=True)] = 0.2
    """ε_high (README 0.2, script 0.28)."""
    ratio_max: Annotated[float, Field(ge=1), OnlyWith(dynamic_clip=True)] = 10.0
    """Largest upper bound (code 10)."""
    smooth_advantage: bool = True
    """Whether the advantages are set."""
    _history: dict[str, list[float]] = PrivateAttr(default_factory=dict)
    _advantages_R: Tensor | None = PrivateAttr(default=None)

    @property
    def turns(self) -> Handles:
        """Bounds and advantages, as far as they are on."""
        return (CLIP if self.dynamic_clip else frozenset()) | ({"advantages"} if self.smooth_advantage else frozenset())

    @property
    def replaces(self) -> Handles:
        """All of it."""
        return self.turns

    @property
    def reads(self) -> Handles:
        """Rewards as shaped before it."""
        return frozenset({"rewards"}) if self.smooth_advantage else frozenset()

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """Both parts off, one update per step, or groups that it never sees."""
        if not self.dynamic_clip and not self.smooth_advantage:
            yield "does nothing with dynamic_clip and smooth_advantage both off"
        elif self.dynamic_clip and around.on_policy:
            whole = "" if self.smooth_advantage else ", and smooth_advantage is off: it does nothing at all"
            yield f"dynamic_clip is never reached with optim.updates_per_step 1: the ratio is exactly 1{whole}"
        if self.smooth_advantage:
            yield from uniform_groups_remarks(around)

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their rewards enter the history and give the step's advantages."""
        if self.smooth_advantage:
            self._advantages_R = smoothed(self._history, groups)
        return groups

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (each token on its own)
        """The turn with this step's advantages."""
        if not self.smooth_advantage:
            return self.apply
        advantages_R = remembered(self._advantages_R, self.kind)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            return replace(self.apply(dials, batch, stats), advantages_BT=of_rows(advantages_R, batch))

        return turn

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (the old policy's q)
        """The dials with the bounds of the old probabilities."""
        if not self.dynamic_clip:
            return dials
        inverse_BT = (-batch.old_stats.logprobs_BT).exp().clamp(max=1e30)
        low_BT = 0.5 + 0.5 * (1 - 4 * self.clip_ratio_low * inverse_BT).clamp(min=0).sqrt()
        high_BT = (0.5 + 0.5 * (1 + 4 * self.clip_ratio_high * inverse_BT).sqrt()).clamp(max=self.ratio_max)
        return replace(dials, clip_low_BT=1 - low_BT, clip_high_BT=high_BT - 1)

    def state_dict(self) -> Mapping[str, Any]:
        """The history by problem: [visits, count, sum, sum of squares]."""
        return {"history": {problem: list(sums) for problem, sums in self._history.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._history = {problem: [float(value) for value in sums] for problem, sums in state["history"].items()}
