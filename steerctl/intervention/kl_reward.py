"""KL in the reward: a response pays for its distance from the reference before its group is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._reference import reference_logprobs
from steerctl.intervention._remarks import SET, Handles, OnlyWith, Surroundings, group_remarks
from steerctl.intervention._select import by_response, gather_ordered
from steerctl.intervention._verdicts import of_rows, remembered, standardised, totals
from steerctl.types import Dials, Need, RolloutGroup, Scope, TokenBatch, TokenStats


class KlReward(Intervention):
    """A_i = the group's z-score of R_i − c·Σ_t (log π_old − log π_ref), t over the response's tokens. Detached.

    normalise  std   (R' − mean)/(std + ε), as advantage `grpo` with its defaults
               mean  R' − mean, as advantage `dr_grpo`

    Only a response's distance from its group's mean distance counts, and a group of equal rewards is ranked by the
    distance alone, blown up to deviation 1 with `std`. R is the reward as shaped by the interventions before it; what
    they and the estimator made of the advantages plays no part. c is fixed, or moves once per step towards kl_target:

        c *= 1 + (S/kl_horizon)·clip(KL/kl_target − 1, ±0.2)

    S responses in the step, KL their mean of the mean log-ratio of their tokens. Factor touched: probability, that of
    the response, relative to the reference.

    Source: verl `ray_trainer.apply_kl_penalty` (kl_penalty kl), `core_algos.AdaptiveKLController`; the controller is
    that of Ziegler et al., arXiv 1909.08593 §2.2.

    Departures: (1) from verl: of its estimators only GRPO with and without deviation, since the reference's
    log-probabilities come after the advantages here; algorithm.advantage is not asked; (2) k1 only, its default.
    """

    kind: Literal["kl_reward"] = "kl_reward"
    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    turns: ClassVar[Handles] = frozenset({"advantages"})
    replaces: ClassVar[Handles] = frozenset({"advantages"})
    reads: ClassVar[Handles] = frozenset({"rewards"})
    population_scope: ClassVar[Scope] = "step"
    kl_coef: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    """c, reward per nat; where it starts if it moves (verl 0.001)."""
    kl_target: PositiveFloat | None = None
    """Nats per token to move c towards (verl's adaptive controller 0.1); None: c is fixed (verl's default)."""
    kl_horizon: Annotated[PositiveFloat, OnlyWith(kl_target=SET)] = 10_000.0
    """Responses over which c moves by at most 20 percent (verl 10000)."""
    normalise: Literal["std", "mean"] = "std"
    """What becomes of the shaped rewards."""
    _next: float = PrivateAttr(default=0.0)
    _turn: Turn | None = PrivateAttr(default=None)
    _rewards_PG: Tensor | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any) -> None:  # noqa: ANN401, ARG002 (pydantic's signature)
        """The controller's first coefficient."""
        self._next = self.kl_coef

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """No coefficient, or nothing to compare."""
        if self.kl_coef == 0:
            yield "with kl_coef 0 no distance counts, nor does it ever move: only the advantages are recomputed"
        yield from group_remarks(around)

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; their rewards are noted."""
        self._rewards_PG = torch.tensor([group.rewards_G for group in groups], dtype=torch.float64)
        self._turn = None
        return groups

    def prepare(self, population: Population) -> Turn:
        """The turn that sets the advantages of the step's responses; the first call in a step moves c."""
        rewards_PG = remembered(self._rewards_PG, self.kind)
        if self._turn is None:
            self._turn = self._turn_for(population, rewards_PG)
        return self._turn

    def _turn_for(self, population: Population, rewards_PG: Tensor) -> Turn:
        gathered = gather_ordered(population, _log_ratio)
        distance_R, length_R = by_response(gathered, rewards_PG.numel())
        advantages_R = self._advantages(rewards_PG.flatten() - self._next * distance_R, rewards_PG.shape[1])
        self._next = self._moved(float((distance_R / length_R.clamp(min=1)).mean()), rewards_PG.numel())

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the step's start decides)
            return replace(dials, advantages_BT=of_rows(advantages_R, batch))

        return turn

    def _advantages(self, shaped_R: Tensor, group_size: int) -> Tensor:
        if group_size == 1:  # no baseline, as with the estimators
            return shaped_R
        groups_R = torch.arange(len(shaped_R)) // group_size
        if self.normalise == "std":
            return standardised(shaped_R, groups_R, 1e-6, 1)
        return shaped_R - totals(shaped_R, groups_R) / group_size

    def _moved(self, distance: float, responses: int) -> float:
        if self.kl_target is None:
            return self._next
        error = min(max(distance / self.kl_target - 1, -0.2), 0.2)
        return max(self._next * (1 + error * responses / self.kl_horizon), 0.0)

    def state_dict(self) -> Mapping[str, Any]:
        """The coefficient of the coming step."""
        return {"coef": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._next = float(state["coef"])


def _log_ratio(_dials: Dials, batch: TokenBatch, _stats: TokenStats) -> Tensor:
    return batch.old_stats.logprobs_BT - reference_logprobs(batch)
