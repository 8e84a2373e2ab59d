"""Lp-Reg: rare tokens of wrong answers that are no noise are held near a proxy that keeps them likely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._remarks import CLIP, Handles, OnlyWith, Surroundings
from steerctl.types import Dials, Scope, TokenBatch, TokenStats

MAX_EXPONENT, MAX_VALUE = 20.0, 10.0
"""The exponent of k3 and k3 itself are held within ± these (verl, and the code)."""


class LpReg(Intervention):
    """Penalty += kl_coef · k3(log π − log π̃) on tokens that are rare, of negative advantage, and kept by the proxy.

        π̃ = π_old without the tokens below min_p · max π_old, renormalised;   k3(d) = e^−d + d − 1

    A token is rare if log π < τ, τ the ratio-quantile of log π_old over the step's trained tokens: a spark that wrong
    answers would put out. Noise, which the proxy drops, is left alone. On the chosen tokens the clip is off (their
    surrogate is r·A); elsewhere the ratio is held in [1 − clip_ratio_low, 1 + clip_ratio_high]. Gradient through log π
    only. Factors touched: clip, advantage, probability. It costs one pass over the step.

    Presets, each an entry of algorithm.interventions:

        paper_14b: {kind: lp_reg}
        paper_32b: {kind: lp_reg, ratio: 0.005}
        paper_without_condition: {kind: lp_reg, only_below: false}

    Source: arXiv 2510.03222; CarlanLark/Lp-Reg-dev 33b27e2 (k3 on the lowest 1% of a micro-batch, clip 1.0/9.0).

    Departures: (1) from the paper: k3 at the sampled token in place of KL(π̃ ‖ π), as in the code; (2) τ is a quantile
    of the step's old log-probabilities on all ranks, theirs one of a micro-batch's current ones.
    """

    kind: Literal["lp_reg"] = "lp_reg"
    reads: ClassVar[Handles] = frozenset({"advantages"})
    population_scope: ClassVar[Scope] = "step"
    kl_coef: NonNegativeFloat = 1.0
    """Weight of the penalty (code 1)."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of tokens that count as rare (14B 0.01, 32B 0.005)."""
    min_p: Annotated[float, Field(gt=0, le=1)] = 0.02
    """κ, of the proxy (0.02)."""
    only_below: bool = True
    """Whether tokens above the proxy's probability are left alone (code: yes; not in the paper)."""
    set_clip: bool = True
    """Whether the bounds below are set; false leaves all clipping as it stands, on chosen tokens too (ours)."""
    clip_ratio_low: Annotated[NonNegativeFloat, OnlyWith(set_clip=True)] = 1.0
    """Elsewhere (code 1.0: no lower bound)."""
    clip_ratio_high: Annotated[NonNegativeFloat, OnlyWith(set_clip=True)] = 9.0
    """Elsewhere (code 9.0; the paper's U = 10)."""
    _proxies: dict[int, Tensor] = PrivateAttr(default_factory=dict)

    @property
    def turns(self) -> Handles:
        """The penalty and the bounds."""
        return CLIP | {"penalty"} if self.set_clip else frozenset({"penalty"})

    @property
    def replaces(self) -> Handles:
        """The bounds."""
        return CLIP if self.set_clip else frozenset()

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """No token, or no weight."""
        if self.kl_coef == 0 or self.ratio == 0:
            yield "holds no token with kl_coef or ratio 0, but still costs a pass over the step"

    def prepare(self, population: Population) -> Turn:
        """The turn with the step's τ; the first update of a step asks for the proxy."""
        if population.min_p is None:
            raise RuntimeError("lp_reg needs a population with a policy behind it")
        if population.update == 0:
            rows: dict[int, Tensor] = {}
            for view, proxy_BT in zip(population.views, population.min_p(self.min_p), strict=True):
                rows.update(zip(view.batch.row_B.tolist(), proxy_BT, strict=True))
            self._proxies = rows
        logprobs_N = population.gather(lambda _dials, batch, _stats: batch.old_stats.logprobs_BT).sort().values
        count = ceil(self.ratio * logprobs_N.numel())
        threshold = float(logprobs_N[count - 1]) if count else -torch.inf

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
            return self._held(dials, batch, stats, threshold)

        return turn

    def _held(self, dials: Dials, batch: TokenBatch, stats: TokenStats, threshold: float) -> Dials:
        width = batch.loss_mask_BT.shape[1]
        proxy_BT = torch.stack([self._proxies[row][:width] for row in batch.row_B.tolist()])
        held_BT = (
            batch.loss_mask_BT & (stats.logprobs_BT <= threshold) & (dials.advantages_BT < 0) & proxy_BT.isfinite()
        )
        if self.only_below:
            held_BT &= stats.logprobs_BT < proxy_BT
        d_BT = torch.where(held_BT, stats.logprobs_BT - proxy_BT.nan_to_num(neginf=0.0), torch.zeros_like(proxy_BT))
        exponent_BT = (-d_BT).clamp(-MAX_EXPONENT, MAX_EXPONENT)
        k3_BT = (exponent_BT.expm1() - exponent_BT).clamp(max=MAX_VALUE)
        turned = replace(dials, penalty_BT=dials.penalty_BT + self.kl_coef * k3_BT)
        if not self.set_clip:
            return turned
        bounds = (torch.full_like(dials.clip_low_BT, each) for each in (self.clip_ratio_low, self.clip_ratio_high))
        low_BT, high_BT = (bound_BT.masked_fill(held_BT, torch.inf) for bound_BT in bounds)
        return replace(turned, clip_low_BT=low_BT, clip_high_BT=high_BT)
