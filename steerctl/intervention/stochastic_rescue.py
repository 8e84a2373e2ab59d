"""Near-boundary stochastic rescue (NSR): a token just beyond the clip keeps its gradient by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from steerctl.entropy.change import clip_indicator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._fields import Fraction
from steerctl.intervention._remarks import CLIP, Handles, OnlyWith, Surroundings
from steerctl.intervention._select import token_ids, uniform_draws
from steerctl.types import Dials, TokenBatch, TokenStats

UPDATES = 2**16
"""More updates than a step has; each has its own draws."""


class StochasticRescue(Intervention):
    """Where the clip would leave no gradient, take it off, so that the gradient is r·A·∇log π, with a chance.

    rule    a clipped token of ratio r is rescued if
    noise   r·u lies in [1 − ε_low, 1 + ε_high], u uniform in [1 − noise, 1 + noise]: half of those at the edge, less
            and less beyond it, none above (1 + ε_high)/(1 − noise) or below (1 − ε_low)/(1 + noise)
    margin  r lies within edge·(1 ± margin), and then with chance rescue_probability

    u depends on (seed, step, update, row, position) alone. A, ε_low and ε_high are the dials as they stand; tokens that
    are not clipped are not touched. Factor touched: the clip. Nothing happens on the first update of a step.

    Presets, each an entry of algorithm.interventions:

        noise: {kind: stochastic_rescue}
        slime_port: {kind: stochastic_rescue, rule: margin}

    Source: arXiv 2605.22703, read in published notes (any clipped ratio times uniform noise; kept if that is inside;
    DAPO and GSPO as bases); rule margin: two public contributions to slime, third-party.

    Departures: (1) the paper's range of the noise was not found: 0.2, and its symmetry, are ours; so are the margin's
    two numbers, which the ports leave to the user; (2) the ratio is a token's, theirs also a sequence's; (3) a dual
    clip set in the loss stays.
    """

    kind: Literal["stochastic_rescue"] = "stochastic_rescue"
    inert_when_on_policy: ClassVar[bool] = True
    turns: ClassVar[Handles] = CLIP
    reads: ClassVar[Handles] = CLIP | {"advantages"}
    rule: Literal["noise", "margin"] = "noise"
    """Who is rescued (paper: noise)."""
    noise: Annotated[float, Field(ge=0, lt=1), OnlyWith(rule="noise")] = 0.2
    """Half width of u (ours); 0 rescues none."""
    margin: Annotated[float, Field(ge=0, lt=1), OnlyWith(rule="margin")] = 0.1
    """Width of the band, relative to the edge (ours)."""
    rescue_probability: Annotated[Fraction, OnlyWith(rule="margin")] = 0.5
    """Chance within the band (ours)."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Of the draws."""

    @property
    def sets_bounds(self) -> bool:
        """It only takes them off."""
        return False

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """No chance, or a loss that clips otherwise."""
        if (self.noise if self.rule == "noise" else self.rescue_probability) == 0:
            yield f"rescues no token with rule {self.rule} and a chance of 0"
        elif around.clips != "token":
            yield f"gives clipped tokens back their gradient, as loss ppo_clip clips them; {around.loss} does not"

    def prepare(self, population: Population) -> Turn:
        """The turn with this update's draws."""
        moment = population.step * UPDATES + population.update

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            ratio_BT = (stats.logprobs_BT.detach() - batch.old_stats.logprobs_BT).clamp(-20, 20).exp()
            lowest_BT, highest_BT = 1 - dials.clip_low_BT, 1 + dials.clip_high_BT
            passes_BT = clip_indicator(ratio_BT, dials.advantages_BT, dials.clip_low_BT, dials.clip_high_BT)
            clipped_BT = batch.loss_mask_BT & ~passes_BT
            draws_N = uniform_draws(self.seed, moment, token_ids(batch)[clipped_BT]).to(ratio_BT)
            saved_N = self._is_saved(ratio_BT[clipped_BT], lowest_BT[clipped_BT], highest_BT[clipped_BT], draws_N)
            saved_BT = clipped_BT.masked_scatter(clipped_BT, saved_N)
            return replace(
                dials,
                clip_low_BT=dials.clip_low_BT.masked_fill(saved_BT, torch.inf),
                clip_high_BT=dials.clip_high_BT.masked_fill(saved_BT, torch.inf),
            )

        return turn

    def _is_saved(self, ratio_N: Tensor, lowest_N: Tensor, highest_N: Tensor, draws_N: Tensor) -> Tensor:
        if self.rule == "noise":
            noisy_N = ratio_N * (1 + self.noise * (2 * draws_N - 1))
            return (noisy_N >= lowest_N) & (noisy_N <= highest_N)
        near_N = (ratio_N >= lowest_N * (1 - self.margin)) & (ratio_N <= highest_N * (1 + self.margin))
        return near_N & (draws_N < self.rescue_probability)
