"""Probability-dependent clip with entropy schedules (flexible entropy control)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, PrivateAttr, model_validator

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Fraction
from steerctl.intervention._remarks import CLIP, Handles, OnlyWith, Surroundings
from steerctl.intervention._schedules import Mode, Schedule, mixed, shares
from steerctl.intervention._select import gather_ordered
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

MOVING = ("increase_decrease", "decrease_increase_decrease", "oscillatory_decay")


class ProbabilityClip(Intervention):
    """ε_high mixes the dial as it stands with h(q), ε_low with m(q); q = π_old of the token, shares by a schedule.

        h(q) = (1 + β)/(1 − α·q) − 1     solves r = 1 + β + α·r·q: rare right tokens may grow more: entropy rises
        m(q) = 1 − (1 − β)/(1 + α·q)     solves r = 1 − β − α·r·q: rare wrong tokens may fall more: entropy falls

    α < 0. With k the step, λ = 1 − 2k/T; shares of h and m in the first and in the second half:

    constant                    1, 0 · 1, 0          entropy is to rise
    increase_decrease           λ, 0 · 0, 1 + λ      to rise, then fall (the paper's ID)
    decrease_increase_decrease  1 − λ, 0 · 1, 1 + λ  to fall, rise, fall (DID)
    oscillatory_decay           0, 0 until mean H ≤ low_fraction·H₀: 1, 0 from there; or until it is above
                                H_min + (H₀ − H_min)(1 − k/T): 0, 1 from there (OD)

    H is that of the step's start over all its tokens, H₀ the first step's, H_min = min_fraction·H₀; the mode is kept in
    checkpoints. Factors touched: clip, probability, with oscillatory_decay entropy. The first update is left alone.

    Source: arXiv 2602.09782, read in the authors' blog and published notes; no code (its repository is empty).

    Departures: (1) α, β, H_min and the mode OD starts in were not found: ours; (2) nor was m's form: it mirrors h;
    (3) m is strongest at half time and gone at the end, as the notes have it; (4) after step T all stays as it ended.
    """

    kind: Literal["probability_clip"] = "probability_clip"
    inert_when_on_policy: ClassVar[bool] = True
    schedule: Schedule = "increase_decrease"
    """How the shares move."""
    total_steps: Annotated[PositiveInt, OnlyWith(schedule=MOVING)] = 100
    """T: as many as the experiment's `steps`."""
    slope: Annotated[float, Field(gt=-1, le=0)] = -0.3
    """α (ours)."""
    intercept: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """β, the bound's distance from 1 at q = 0 (ours); at least −slope, so that no bound crosses 1."""
    low_fraction: Annotated[Fraction, OnlyWith(schedule="oscillatory_decay")] = 0.2
    """Share of H₀ at which entropy is to rise (paper 0.2)."""
    min_fraction: Annotated[Fraction, OnlyWith(schedule="oscillatory_decay")] = 0.2
    """H_min, as a share of H₀ (ours)."""
    _mode: Mode = PrivateAttr(default="standard")
    _start: float | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _bounds_stay_on_their_side(self) -> ProbabilityClip:
        if self.intercept < -self.slope:
            raise ValueError("intercept must be at least -slope, or the bound of a certain token crosses 1")
        return self

    @property
    def turns(self) -> Handles:
        """The bounds, as far as the schedule reaches them."""
        return frozenset({"clip_high"}) if self.schedule == "constant" else CLIP

    @property
    def replaces(self) -> Handles:
        """Nothing for good but with a constant share."""
        return self.turns if self.schedule == "constant" else frozenset()

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """A schedule of another length than the run."""
        if self.schedule != "constant" and self.total_steps != around.steps:
            yield f"its schedule is over after total_steps {self.total_steps}, the run has {around.steps} steps"

    @property
    def population_scope(self) -> Scope:
        """Only oscillatory_decay looks at the step's entropy."""
        return "step" if self.schedule == "oscillatory_decay" else "micro_batch"

    def prepare(self, population: Population) -> Turn:
        """The turn with this step's shares; with oscillatory_decay the first call in a step may change the mode."""
        if self.schedule == "oscillatory_decay" and population.update == 0:
            self._observe(population)
        upper, lower = shares(self.schedule, self._mode, min(population.step / self.total_steps, 1.0))

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (the old policy's q)
            steep_BT = self.slope * batch.old_stats.logprobs_BT.exp()
            high_BT = mixed(upper, (self.intercept + steep_BT) / (1 - steep_BT), dials.clip_high_BT)
            low_BT = mixed(lower, (self.intercept + steep_BT) / (1 + steep_BT), dials.clip_low_BT)
            return replace(dials, clip_high_BT=high_BT, clip_low_BT=low_BT)

        return turn

    def _observe(self, population: Population) -> None:
        entropy_N = gather_ordered(population, lambda _dials, batch, _stats: batch.old_stats.entropy_BT).values[0]
        if entropy_N.numel() == 0:
            return
        mean = float(entropy_N.double().mean())
        self._start = mean if self._start is None else self._start
        least, remaining = self.min_fraction * self._start, 1 - min(population.step / self.total_steps, 1.0)
        if mean <= self.low_fraction * self._start:
            self._mode = "raise"
        elif mean > least + (self._start - least) * remaining:
            self._mode = "lower"

    def state_dict(self) -> Mapping[str, Any]:
        """What oscillatory_decay remembers."""
        return {"mode": self._mode, "start": self._start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._mode, self._start = state["mode"], state["start"]
