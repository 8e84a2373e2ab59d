"""How far the sampler is from the trainer, how old its weights were, and what the correction made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from steerctl.metrics.moments import Moments
from steerctl.metrics.tally import Mean, Tally
from steerctl.types import Correction, RolloutGroup, TokenBatch


def mismatch_tally(batch: TokenBatch) -> Tally:
    """One micro-batch: log π_old(trainer) − log μ(sampler) of its trained tokens, and the correction's weights.

    With rollouts that are a step old the difference holds their staleness too. All keys: metrics/catalogue.py.
    """
    mask_BT = batch.loss_mask_BT
    gap_N = _pick(batch.old_stats.logprobs_BT, mask_BT) - _pick(batch.rollout_logprobs_BT, mask_BT)
    ratio_N = gap_N.clamp(-20, 20).exp()
    tally = Tally(
        means=_means(
            {
                "mismatch/logprob_abs/mean": gap_N.abs(),
                "mismatch/kl/mean": gap_N.clamp(max=20).expm1() - gap_N,
                "mismatch/kl/k1": -gap_N,
            }
        ),
        maxima=_extreme({"mismatch/logprob_abs/max": gap_N.abs(), "mismatch/ratio/max": ratio_N}, torch.max),
        minima=_extreme({"mismatch/ratio/min": ratio_N}, torch.min),
        moments={"mismatch": _weights(ratio_N)},
        readings={"mismatch": read_mismatch},
    )
    return tally if batch.correction is None else tally.merge(_correction_tally(batch.correction, mask_BT))


def staleness_tally(groups: Sequence[RolloutGroup], version: int) -> Tally:
    """How many pushes of weights lie between a response and `version`, the weights its step began with."""
    ages = [float(version - rollout.weight_version) for group in groups for rollout in group.rollouts]
    return Tally(
        means={"mismatch/staleness/mean": Mean(sum(ages), float(len(ages)))},
        maxima={"mismatch/staleness/max": max(ages)} if ages else {},
    )


def read_mismatch(moments: Moments) -> dict[str, float]:
    """Share of the tokens that the ratios are worth: (Σρ)² / (N Σρ²); rows ρ, ρ²."""
    return {"mismatch/effective/fraction": _effective(moments)}


def read_correction(moments: Moments) -> dict[str, float]:
    """The same of the correction's weights; 0 if all of them are 0."""
    return {"correction/effective/fraction": _effective(moments)}


def _correction_tally(correction: Correction, mask_BT: Tensor) -> Tally:
    weight_N, ratio_N = _pick(correction.weight_BT, mask_BT), _pick(correction.ratio_BT, mask_BT)
    outside_N = correction.outside_BT[mask_BT]
    return Tally(
        means=_means(
            {
                "correction/weight/mean": weight_N,
                "correction/masked/fraction": outside_N & (weight_N == 0),
                "correction/truncated/fraction": outside_N & (weight_N != 0),
            }
        ),
        maxima=_extreme({"correction/weight/max": weight_N, "correction/ratio/max": ratio_N}, torch.max),
        minima=_extreme({"correction/weight/min": weight_N, "correction/ratio/min": ratio_N}, torch.min),
        moments={"correction": _weights(weight_N)},
        readings={"correction": read_correction},
    )


def _weights(weight_N: Tensor) -> Moments:
    return Moments.of(torch.stack([weight_N, weight_N.square()]).cpu().numpy())


def _effective(moments: Moments) -> float:
    mean, square = (float(value) for value in moments.mean)
    return mean**2 / square if square > 0 else 0.0


def _pick(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return values_BT.detach()[mask_BT].double()


def _means(values: dict[str, Tensor]) -> dict[str, Mean]:
    return {key: Mean(float(value_N.double().sum()), float(value_N.numel())) for key, value_N in values.items()}


def _extreme(values: dict[str, Tensor], pick: Callable[[Tensor], Tensor]) -> dict[str, float]:
    return {key: float(pick(value_N)) for key, value_N in values.items() if value_N.numel()}
