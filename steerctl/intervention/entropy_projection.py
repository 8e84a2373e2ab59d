"""Entropy projection: the least change of an update that gives the batch's mean entropy a prescribed change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, PrivateAttr

from steerctl.intervention import EntropyProducts, Intervention, Population, Turn
from steerctl.intervention._remarks import SET, Handles, OnlyWith, Surroundings
from steerctl.types import Dials, Need, Scope, TokenBatch, TokenStats


class EntropyProjection(Intervention):
    """Penalty −= c·H with the c that moves the mean entropy by T = gain·(H* − H̄) in this update, to first order.

    Among all gradients g' whose update θ −= η·P·g' changes the mean entropy by T, the one nearest to the loss's
    gradient g in the norm of the optimiser's preconditioner P is g' = g − c·g_H, g_H the gradient of the mean entropy:

        minimise ½⟨g' − g, P(g' − g)⟩  subject to  −η⟨g_H, P g'⟩ = T    ⇒    c = (T/η + ⟨g_H, P g⟩)/⟨g_H, P g_H⟩

    So an entropy bonus with a coefficient in closed form, interference between tokens included. ⟨g_H, P g⟩ cancels the
    fall that the loss would cause, T/η brings back what is missing. Reductions other than token_mean weight tokens in
    g_H as in the loss. It stands last: g is the gradient under the interventions before it. Factor touched: entropy.

    mode     exact    products of this very update, H̄ of the current policy: two forward and backward passes and (after
                      the first update of a step) a measuring pass more
             delayed  products taken at the first update of every refresh_every-th step, H̄ over the step under the
                      policy that sampled it: almost free

    Source: our own.

    Departures: (1) AdamW's P takes max(g², g_H²) for the coming gradient's square, which depends on c; (2) momentum,
    which spreads c's effect over 1/(1 − β₁) updates, and gradient clipping are left out: they come back as H* − H̄.
    """

    kind: Literal["entropy_projection"] = "entropy_projection"
    needs: ClassVar[frozenset[Need]] = frozenset({"entropy_grad"})
    turns: ClassVar[Handles] = frozenset({"penalty"})
    reads: ClassVar[Handles] = frozenset({"advantages", "weight", "clip_low", "clip_high", "penalty"})
    entropy_target: NonNegativeFloat = 0.2
    """H*, nats, at the first step."""
    entropy_target_end: NonNegativeFloat | None = None
    """H* from step schedule_steps on, reached linearly; None: entropy_target throughout."""
    schedule_steps: Annotated[PositiveInt, OnlyWith(entropy_target_end=SET)] = 100
    """Length of the schedule."""
    mode: Literal["exact", "delayed"] = "exact"
    """Whose inner products."""
    refresh_every: Annotated[PositiveInt, OnlyWith(mode="delayed")] = 4
    """Steps between inner products."""
    gain: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of H* − H̄ that one update is to bring back."""
    both_sides: bool = False
    """Whether it acts above H* as well, with c of either sign; else c ≥ 0, and c = 0 where H̄ ≥ H*."""
    coef_max: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Largest |c|; 0: off."""
    _products: EntropyProducts | None = PrivateAttr(default=None)

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """No coefficient."""
        if self.coef_max == 0:
            yield "does nothing with coef_max 0"

    @property
    def population_scope(self) -> Scope:
        """The current policy's update, or the step as it was sampled."""
        return "update" if self.mode == "exact" else "step"

    def target(self, step: int) -> float:
        """H* of a step (from 0)."""
        end = self.entropy_target if self.entropy_target_end is None else self.entropy_target_end
        return self.entropy_target + (end - self.entropy_target) * min(step / self.schedule_steps, 1.0)

    def prepare(self, population: Population) -> Turn:
        """The turn with this update's coefficient."""
        coef = self._coefficient(population) if self.coef_max else 0.0
        if coef == 0:
            return super().apply

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (needs no batch)
            return replace(dials, penalty_BT=dials.penalty_BT - coef * stats.entropy_BT)

        return turn

    def _coefficient(self, population: Population) -> float:
        entropy_N = population.gather(lambda _dials, _batch, stats: stats.entropy_BT).double()
        slopes = population.slopes
        below = self.target(population.step) - float(entropy_N.sum()) / max(entropy_N.numel(), 1)
        if slopes is None or entropy_N.numel() == 0 or (below <= 0 and not self.both_sides):
            return 0.0
        due = population.update == 0 and population.step % self.refresh_every == 0
        if self.mode == "exact" or due or self._products is None:
            self._products = slopes.products()
        if self._products.own <= 0:
            return 0.0
        wanted = self.gain * below * slopes.total_scale / slopes.learning_rate
        coef = (wanted + self._products.against) / self._products.own
        return min(max(coef, -self.coef_max if self.both_sides else 0.0), self.coef_max)

    def state_dict(self) -> Mapping[str, Any]:
        """The products that later steps go on with."""
        if self.mode == "exact" or self._products is None:
            return {}
        return {"against": self._products.against, "own": self._products.own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._products = EntropyProducts(state["against"], state["own"]) if state else None
