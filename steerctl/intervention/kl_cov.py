"""KL-Cov: the tokens that lower entropy most are held back near the old policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat

from steerctl.entropy.change import Estimator
from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._remarks import CLIP, Handles, Surroundings
from steerctl.intervention._select import entropy_reduction, gather_ordered, largest, scoped, token_ids
from steerctl.types import Dials, Scope, TokenBatch, TokenStats


class KlCov(Intervention):
    """Penalty += kl_coef · |log π − log π_old| on the max(1, ⌊ratio·N⌋) tokens with the largest cov; no clip anywhere.

    cov = (A − mean A)(log π − mean log π), means over the N trained tokens of `scope`; the choice is detached, the
    penalty has gradient ± kl_coef·∇log π. Factors touched: probability, advantage, and the clip that it takes off.

    On the first update of a step π = π_old: the penalty has value 0 and no gradient. It is left out there, since two
    forward passes that differ by rounding would give the gradient a random sign.

    Presets, each an entry of algorithm.interventions:

        paper_7b: {kind: kl_cov}
        paper_32b: {kind: kl_cov, kl_cov_ratio: 0.0002}
        verl: {kind: kl_cov, kl_cov_ratio: 0.0002, kl_coef: 0.1, scope: micro_batch}

    Source: arXiv 2505.22617; PRIME-RL/Entropy-Mechanism-of-RL (k_percent 0.2 with 7B, 0.02 with 32B, coefficient 1);
    verl `core_algos` (kl_cov).

    Departures: (1) from the code: the population is the update on all ranks, theirs a micro-batch; (2) the first
    update, as said; (3) ratio 0 chooses none (code: one); (4) other forms of the entropy change than the covariance are
    ours; (5) a dual clip set in the loss stays.
    """

    kind: Literal["kl_cov"] = "kl_cov"
    inert_when_on_policy: ClassVar[bool] = True
    reads: ClassVar[Handles] = frozenset({"advantages"})
    kl_cov_ratio: Annotated[float, Field(ge=0, le=1)] = 0.002
    """Share of tokens that is held (7B 0.002; 32B and verl 0.0002)."""
    kl_coef: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """β, nats of loss per nat (paper 1; verl's yaml 0.1)."""
    remove_clip: bool = True
    """Whether the ratio's bounds are taken off at every token (code: yes)."""
    dead_band: NonNegativeFloat = 0.0
    """No penalty where |log π − log π_old| is at most this, against rounding noise (ours; code: 0)."""
    estimator: Estimator = "covariance"
    """Form of the entropy change (paper: covariance)."""
    scope: Scope = "update"
    """Tokens that are ranked, and behind the means (the code: one micro-batch of one rank)."""

    @property
    def turns(self) -> Handles:
        """The penalty, and the bounds it takes off."""
        return CLIP | {"penalty"} if self.remove_clip else frozenset({"penalty"})

    @property
    def replaces(self) -> Handles:
        """The bounds."""
        return CLIP if self.remove_clip else frozenset()

    @property
    def sets_bounds(self) -> bool:
        """It only takes them off."""
        return False

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """Without a token or a coefficient."""
        if self.kl_cov_ratio == 0 or self.kl_coef == 0:
            rest = "only the clip is taken off" if self.remove_clip else "it does nothing"
            yield f"holds no token with kl_cov_ratio {self.kl_cov_ratio:g} and kl_coef {self.kl_coef:g}: {rest}"

    def prepare(self, population: Population) -> Turn:
        """The turn that holds the chosen tokens; on the first update the one that takes off the clip."""
        return self._unclipped if population.update == 0 else scoped(self.scope, population, self._turn)

    def _turn(self, population: Population) -> Turn:
        gathered = gather_ordered(population, entropy_reduction(self.estimator, population))
        count = int(self.kl_cov_ratio * gathered.ids_N.numel())
        count = max(count, 1) if self.kl_cov_ratio else 0
        held_N = largest(gathered.ids_N, gathered.values[0], count)

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            distance_BT = (stats.logprobs_BT - batch.old_stats.logprobs_BT).abs()
            held_BT = torch.isin(token_ids(batch), held_N) & batch.loss_mask_BT & (distance_BT > self.dead_band)
            distance_BT = torch.where(held_BT, distance_BT, torch.zeros_like(distance_BT))
            dials = self._unclipped(dials, batch, stats)
            return replace(dials, penalty_BT=dials.penalty_BT + self.kl_coef * distance_BT)

        return turn

    def _unclipped(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG002 (one signature)
        if not self.remove_clip:
            return dials
        unbounded_BT = torch.full_like(dials.clip_high_BT, torch.inf)
        return replace(dials, clip_low_BT=unbounded_BT, clip_high_BT=unbounded_BT)
