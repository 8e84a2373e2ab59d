"""RLRT: right answers are reinforced most where the policy went its own way, not its informed teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PrivateAttr, field_validator
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.intervention._verdicts import Verdicts, of_rows, remembered
from steerctl.types import Dials, Need, RolloutGroup, TokenBatch, TokenStats


class Rlrt(Intervention):
    """A *= (π_S/π_T)^sign(A) on the tokens of right responses; other responses keep their advantages. Detached.

        D_t = log π_S(y_t | x, y_<t) − log π_T(y_t | x with the answer, y_<t),   w_t = exp(sign(A)·D_t)

    π_S is the policy that sampled, π_T the same policy with the reference answer in its prompt (`hint`): where it would
    not have said what led to the answer, the student found something of its own. w is held in [weight_min, weight_max].
    Factors touched: advantage, probability. It costs one pass over the step.

    Presets, each an entry of algorithm.interventions:

        rlrt: {kind: rlrt}
        ungated: {kind: rlrt, right_only: false}

    Source: arXiv 2605.10781, read in published notes; no code found. Without the gate its training collapses.

    Departures: (1) bounds and text of the hint were not found: both are ours; (2) right is a verdict of 1; (3) the
    weight is taken once a step, under the policy that sampled.
    """

    kind: Literal["rlrt"] = "rlrt"
    needs: ClassVar[frozenset[Need]] = frozenset({"teacher"})
    turns: ClassVar[Handles] = frozenset({"advantages"})
    reads: ClassVar[Handles] = frozenset({"advantages"})
    hint: str = "\n\nThe correct answer is {gold}."
    """What the teacher's prompt has after the last user turn; {gold} is the reference answer (ours)."""
    right_only: bool = True
    """Whether wrong responses are left alone (paper: yes)."""
    weight_min: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Least w (ours)."""
    weight_max: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 5.0
    """Largest w (ours); 1 and weight_min 1: off."""
    _verdicts: Verdicts | None = PrivateAttr(default=None)

    @field_validator("hint")
    @classmethod
    def _holds_the_answer(cls, hint: str) -> str:
        if "{gold}" not in hint:
            raise ValueError("hint must contain {gold}, where the reference answer goes")
        return hint

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """Bounds that leave nothing."""
        if self.weight_min == self.weight_max:
            yield "does nothing with weight_min and weight_max 1, but still costs a pass over the step"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their verdicts are noted."""
        self._verdicts = Verdicts.of(groups)
        return groups

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (each token on its own)
        """The turn for this step's verdicts."""
        right_R = (remembered(self._verdicts, self.kind).values_R == 1).double()

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the sampling policy's)
            weight_BT = self._weight(dials, batch)
            if self.right_only:
                weight_BT = torch.where(of_rows(right_R, batch) > 0, weight_BT, torch.ones_like(weight_BT))
            return replace(dials, advantages_BT=dials.advantages_BT * weight_BT)

        return turn

    def _weight(self, dials: Dials, batch: TokenBatch) -> Tensor:
        if batch.teacher_logprobs_BT is None:
            raise RuntimeError("this batch has no log-probabilities of the teacher")
        gap_BT = batch.old_stats.logprobs_BT - batch.teacher_logprobs_BT
        weight_BT = (dials.advantages_BT.sign() * gap_BT).clamp(-20, 20).exp().clamp(self.weight_min, self.weight_max)
        return torch.where(batch.loss_mask_BT, weight_BT, torch.ones_like(weight_BT))
