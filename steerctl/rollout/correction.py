"""Importance weights for tokens that another policy sampled: the sampler's rounding, and older weights."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import torch
from torch import Tensor

from steerctl.spec.correction import CorrectionSpec, Level, TruncatedCorrection
from steerctl.types import Correction, Dials, TokenBatch, TokenStats

MAX_LOG_RATIO = 20.0
"""Exponents are held within ± this (verl's SAFETY_BOUND)."""


def correction_of(spec: CorrectionSpec, batch: TokenBatch) -> Correction:
    """ρ_t = π_old(token) / μ(token) at the level of `spec`, and the weight that its bounds make of it; detached.

    π_old is the trainer's policy at the start of the step (`old`), μ what the sampler reported, so ρ holds both the
    engines' mismatch and the weights' staleness; the surrogate's own ratio π/π_old starts at 1 whatever μ was.

        truncated  clamp(ρ, low, high)
        masked     ρ (or 1) if low <= ρ <= high, else 0

    with ρ = ρ_t, Π ρ_t or (Π ρ_t)^(1/n) over the response's n trained tokens. [B, T]; 1 outside the mask.

    Source: decoupled objective arXiv 2110.00641 (Eq. 4), arXiv 2505.24298 (AReaL, Eq. 5); TIS: Yao et al. 2025, "Your
    efficient RL framework secretly brings you off-policy RL training"; masking: IcePop (Ring-1T, arXiv 2510.18855),
    Liu, Li et al. 2025, "When speed kills stability"; verl `rollout_corr_helper` and docs/algo/rollout_corr_math.md,
    TRL `vllm_importance_sampling_mode`, OpenRLHF `vllm_is_correction_type`.

    Departures: (1) a masked token stays in the loss's denominator (verl takes it out of the response mask), so that the
    step of the others does not grow; (2) no normalisation of weights over the batch (verl: off by default); (3) sums
    over a response are float64.
    """
    if batch.old is None:
        raise RuntimeError("the correction needs the old statistics")
    with torch.no_grad():
        gap_BT = (batch.old.logprobs_BT - batch.rollout_logprobs_BT).double()
        gap_BT = torch.where(batch.loss_mask_BT, gap_BT, torch.zeros_like(gap_BT))
        ratio_BT = _at_level(gap_BT, batch.loss_mask_BT, spec.level).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        ratio_BT = torch.where(batch.loss_mask_BT, ratio_BT, torch.ones_like(ratio_BT))
        outside_BT = (ratio_BT < spec.low) | (ratio_BT > spec.high)
        if isinstance(spec, TruncatedCorrection):
            weight_BT = ratio_BT.clamp(spec.low, spec.high)
        else:
            weight_BT = (ratio_BT if spec.weigh else torch.ones_like(ratio_BT)) * ~outside_BT
        dtype = batch.advantages_BT.dtype
        return Correction(ratio_BT.to(dtype), outside_BT, weight_BT.to(dtype))


def corrected(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (a turn's signature)
    """The last turn of every update: the weight dial times the correction; the very same dials if there is none.

    It comes after the interventions and they are prepared without it, so what they select, rank and scale is what
    their papers say: verl, TRL and OpenRLHF likewise multiply the finished policy-gradient loss of a token. The
    penalty (KL, entropy bonus) is not weighted, as there.
    """
    if batch.correction is None:
        return dials
    return replace(dials, weight_BT=dials.weight_BT * batch.correction.weight_BT)


def _at_level(gap_BT: Tensor, mask_BT: Tensor, level: Level) -> Tensor:
    match level:
        case "token":
            return gap_BT
        case "sequence":
            return gap_BT.sum(dim=1, keepdim=True).expand_as(gap_BT)
        case "geometric":
            counts_B1 = mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
            return (gap_BT.sum(dim=1, keepdim=True) / counts_B1).expand_as(gap_BT)
        case _:
            assert_never(level)
