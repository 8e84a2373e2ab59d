"""Skywork's adaptive entropy bonus: its coefficient climbs while entropy is below a target, and sinks above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat, PrivateAttr, model_validator
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Coefficient
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.types import Dials, Need, Scope, TokenBatch, TokenStats


class AdaptiveEntropy(Intervention):
    """Penalty −= c_k · H where H̄_k < H*, nothing otherwise; then c_{k+1} = c_k + δ·sign(H* − H̄_k), held in [min, max].

    H̄_k is taken over all tokens of step k under the policy that sampled them, before its first update, so c is the same
    in all updates of a step; what it learns from step k acts from step k + 1 on. c goes on sinking while the bonus is
    off. The controller has no damping: with one step of dead time it swings about its target. Factor touched: entropy.

    measure  sampled  H̄ = −mean log π_old of the sampled tokens: the released code's, an unbiased guess, noisy
             exact    H̄ = mean entropy over the full vocabulary

    Presets, each an entry of algorithm.interventions:

        skywork: {kind: adaptive_entropy, measure: sampled}
        skywork_config: {kind: adaptive_entropy, measure: sampled, delta: 0.001, coef_max: 0.5}
        trl: {kind: adaptive_entropy, delta: 0.005, coef_max: 1.0}

    Source: Skywork-OR1, arXiv 2505.22312; SkyworkAI/Skywork-OR1 `core_algos.EntController`, `dp_actor.update_policy`.

    Departures: (1) from the code: exact measure by default, free of charge here; (2) the controller moves once per step
    whatever optim.updates_per_step is (theirs 1); (3) at H̄ = H* the coefficient stays, the bonus is off (TRL: on).
    """

    kind: Literal["adaptive_entropy"] = "adaptive_entropy"
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy_grad"})
    turns: ClassVar[Handles] = frozenset({"penalty"})
    population_scope: ClassVar[Scope] = "step"
    entropy_target: NonNegativeFloat = 0.2
    """H*, nats (Skywork's scripts 0.2)."""
    measure: Literal["exact", "sampled"] = "exact"
    """What the controller takes for the entropy."""
    delta: Coefficient = 1e-4
    """δ, per step (Skywork's scripts 1e-4, its config 1e-3, TRL 5e-3)."""
    coef_start: Coefficient = 0.0
    """c of the first step (scripts 0)."""
    coef_min: Coefficient = 0.0
    """Least c (scripts 0)."""
    coef_max: Coefficient = 0.005
    """Largest c (scripts 0.005, config 0.5, TRL 1)."""
    _next: float = PrivateAttr(default=0.0)
    _acting: float = PrivateAttr(default=0.0)
    _step: int | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _start_lies_within(self) -> AdaptiveEntropy:
        if not self.coef_min <= self.coef_start <= self.coef_max:
            raise ValueError("coef_start must lie between coef_min and coef_max")
        return self

    def model_post_init(self, context: Any) -> None:  # noqa: ANN401, ARG002 (pydantic's signature)
        """The controller's first coefficient."""
        self._next = self.coef_start

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """A controller that cannot move."""
        if self.coef_max == 0 or (self.delta == 0 and self.coef_start == 0):
            yield "does nothing: its coefficient starts at 0 and stays there"
        elif self.entropy_target == 0:
            yield "does nothing with entropy_target 0: entropy is never below it"
        elif self.delta == 0:
            yield "delta is 0: the coefficient stays at coef_start and only switches on and off"

    def prepare(self, population: Population) -> Turn:
        """The step's turn; the first call in a step moves the controller."""
        if population.step != self._step:
            self._step = population.step
            self._move(population)
        coef = self._acting
        if coef == 0:
            return super().apply

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (needs no batch)
            return replace(dials, penalty_BT=dials.penalty_BT - coef * stats.entropy_BT)

        return turn

    def _move(self, population: Population) -> None:
        entropy_N = population.gather(self._measured).double()
        below = self.entropy_target - float(entropy_N.mean()) if entropy_N.numel() else 0.0
        self._acting = self._next if below > 0 else 0.0
        moved = self._next + self.delta * ((below > 0) - (below < 0))
        self._next = min(max(moved, self.coef_min), self.coef_max)

    def _measured(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:  # noqa: ARG002 (one signature)
        return stats.entropy_BT if self.measure == "exact" else -stats.logprobs_BT

    def state_dict(self) -> Mapping[str, Any]:
        """The coefficient of the coming step."""
        return {"coef": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._next, self._step = float(state["coef"]), None
