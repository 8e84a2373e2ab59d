"""First-order estimators of what one sampled token's update does to the entropy of its own state.

State with softmax π and entropy H, sampled token a, coefficient w = I_clip·r·A (the factor in front of ∇log π_a in the
loss), step size η: the logits move by dz = η·w·(e_a − π). With S_b = π_b(log π_b + H) = −∂H/∂z_b and
S̄ = Σ_b π_b S_b ≥ 0, the change is dH = −η·w·(S_a − S̄) + O(η²). All estimators are per unit η:

    name        formula                                          what it drops
    exact       −w·(S_a − S̄)                                     nothing (of first order, in this state)
    own_logit   −w·π(1−π)(log π + H)                             the movement of the other V − 1 logits
    squared     −w·π(1−π)²(log π + H)                            also a factor 1 − π
    released    −(A/π_old)·π(1−π)(log π + H)                     also I_clip; not weighted by π: own_logit/π at r = 1
    covariance  −(w − mean w)(log π − mean log π)                H, π and S̄; centred over tokens of many states
    influence   w·⟨∇log π_a, P g_H⟩                              nothing, and it is about all states at once

Sources: arXiv 2510.10150, where own_logit is w·δ with the δ of v4 Eq. 8, and squared is w·δ with the δ of v1 Eq. 8;
both are one action's term of the sum over the vocabulary behind v4 Eq. 7 and v1 Eq. 14. Read instead as an expectation
over a ~ π, the same equations have the integrand I_clip·(A/π_old)·δ, which is the estimator divided by π; released is
the one that zz-haooo/STEER (verl/trainer/ppo/core_algos.py, loss mode entropy_control) computes, before its absolute
value. covariance is the statistic of arXiv 2505.22617 as PRIME-RL/Entropy-Mechanism-of-RL and verl compute it
(Clip-Cov, KL-Cov), with the sign of an entropy change. exact is also in arXiv 2602.03392 and 2602.09782.

None but influence knows about interference: other tokens' updates move this state too, through shared parameters.
influence (ours) is the change of the mean entropy of the whole update, N times over: with θ the weights, P the
optimiser's preconditioner and g_H the gradient of that mean, token t's share of the update is η·P·w_t·∇log π_t/N, and
it moves the mean by η/N times the above. So the mean of influence over the update's tokens is the change of the mean
entropy per unit learning rate; ⟨∇log π_t, P g_H⟩ for all t at once is one Jacobian-vector product of the
log-probabilities along P g_H.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeVar

import torch
from torch import Tensor

Estimator = Literal["exact", "own_logit", "squared", "released", "covariance", "influence"]
Boundary = Literal["kappa", "exact"]

ESTIMATOR_NEEDS: Final[Mapping[Estimator, frozenset[str]]] = MappingProxyType(
    {
        "exact": frozenset({"entropy", "mean_score"}),
        "own_logit": frozenset({"entropy"}),
        "squared": frozenset({"entropy"}),
        "released": frozenset({"entropy", "advantages", "old_logprobs"}),
        "covariance": frozenset({"means"}),
        "influence": frozenset({"sensitivity"}),
    }
)
"""Arguments of `entropy_change` that an estimator uses beside `weight` and `logprobs`."""

_SMALLEST: Final = 1e-8
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Means:
    """Means over the tokens of one scope (micro-batch, update or step, all ranks), chosen by the caller."""

    weight: float | Tensor
    logprobs: float | Tensor


@torch.no_grad()
def entropy_change(
    estimator: Estimator,
    *,
    weight: Tensor,
    logprobs: Tensor,
    entropy: Tensor | None = None,
    mean_score: Tensor | None = None,
    advantages: Tensor | None = None,
    old_logprobs: Tensor | None = None,
    means: Means | None = None,
    sensitivity: Tensor | None = None,
) -> Tensor:
    """Predicted entropy change of each token's state, nats per unit step size η; negative: entropy falls.

    The formulas stand in the module's docstring. Any shape, the same for all tensors; the result is detached. The step
    size is that of the logits: dz = η·w·(e_a − π).

    weight        w = I_clip·r·A, or r·A to ignore the clip; not used by `released`
    logprobs      log π_a of the current policy, nats
    entropy       H, nats: of the current policy; the released code passes the old policy's
    mean_score    S̄ = Σ_b π_b²(log π_b + H)
    advantages    A, only for `released`
    old_logprobs  log π_old, only for `released`
    means         of weight and log π over the caller's scope, only for `covariance`; Clip-Cov and KL-Cov pass the
                  advantages as weight
    sensitivity   ⟨∇log π_a, P g_H⟩ under the current policy, only for `influence`

    Departures of `released` from its source: (1) signed, where the code takes the absolute value. Kept: probabilities
    held in [1e-8, 1 − 1e-8] (old ones in [1e-8, 1]), non-finite results replaced by 0.

    Raises:
        ValueError: the estimator is unknown, or a tensor it needs (`ESTIMATOR_NEEDS`) is missing.
    """
    if estimator not in ESTIMATOR_NEEDS:
        raise ValueError(f"{estimator!r} is no estimator; choose one of {', '.join(ESTIMATOR_NEEDS)}")
    if estimator == "influence":
        return weight * _needed(sensitivity, "sensitivity", estimator)
    if estimator == "covariance":
        centre = _needed(means, "means", estimator)
        return -(weight - centre.weight) * (logprobs - centre.logprobs)
    entropy = _needed(entropy, "entropy", estimator)
    if estimator == "exact":
        return -weight * (score(logprobs, entropy) - _needed(mean_score, "mean_score", estimator))
    if estimator == "released":
        advantages = _needed(advantages, "advantages", estimator)
        return _released(advantages, logprobs, _needed(old_logprobs, "old_logprobs", estimator), entropy)
    remaining = -torch.expm1(logprobs)  # 1 − π without cancellation
    return -weight * score(logprobs, entropy) * (remaining.square() if estimator == "squared" else remaining)


def _needed(value: _Value | None, name: str, estimator: Estimator) -> _Value:
    if value is None:
        raise ValueError(f"the estimator {estimator!r} needs {name}")
    return value


def _released(advantages: Tensor, logprobs: Tensor, old_logprobs: Tensor, entropy: Tensor) -> Tensor:
    probability = logprobs.exp().clamp(_SMALLEST, 1 - _SMALLEST)
    old_probability = old_logprobs.exp().clamp(_SMALLEST, 1)
    change = -(advantages / old_probability) * probability * (1 - probability) * (probability.log() + entropy)
    return change.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def score(logprobs: Tensor, entropy: Tensor) -> Tensor:
    """S_a = π_a(log π_a + H) = −∂H/∂z_a, nats: how much raising this token's logit lowers the entropy."""
    return logprobs.exp() * (logprobs + entropy)


def clip_indicator(
    ratio: Tensor,
    advantages: Tensor,
    clip_low: float | Tensor,
    clip_high: float | Tensor,
    dual_clip: float | None = None,
) -> Tensor:
    """I_clip, bool: whether the clipped surrogate passes any gradient to the token.

    False where A > 0 and r > 1 + clip_high, or A < 0 and (r < 1 − clip_low or r > dual_clip); True on the bounds
    themselves and where A = 0. Bounds may differ per token; infinity is no bound, and `dual_clip=None` is no dual clip.

    Source: arXiv 2510.10150 v4 Eq. 6; dual clip as in verl's vanilla loss (verl/trainer/ppo/core_algos.py).
    """
    too_high = (advantages > 0) & (ratio > 1 + clip_high)
    too_low = (advantages < 0) & (ratio < 1 - clip_low)
    passes = ~(too_high | too_low)
    if dual_clip is None:
        return passes
    return passes & ~((advantages < 0) & (ratio > dual_clip))


def quadrant(
    advantages: Tensor,
    logprobs: Tensor,
    entropy: Tensor,
    mean_score: Tensor | None = None,
    *,
    boundary: Boundary = "kappa",
) -> Tensor:
    """Quadrant of each token, int64, in the paper's numbering; 0 where A = 0.

        1  A > 0, likely token: entropy falls        2  A > 0, unlikely token: entropy rises
        3  A < 0, unlikely token: entropy falls      4  A < 0, likely token: entropy rises

    Likely is π ≥ e^(−H), i.e. log π + H ≥ 0, for "kappa" (the paper's), and S_a ≥ S̄ for "exact", the sign of the exact
    first-order change; they differ where 0 ≤ S_a < S̄.

    Raises:
        ValueError: the boundary is "exact" and `mean_score` is missing.

    Source: arXiv 2510.10150 Fig. 6. Departure: (1) a token exactly on the boundary counts as likely, since a certain
    token (π = 1, H = 0) lies on it.
    """
    if boundary == "exact":
        if mean_score is None:
            raise ValueError('the boundary "exact" needs mean_score')
        likely = score(logprobs, entropy) >= mean_score
    else:
        likely = logprobs + entropy >= 0
    positive = torch.where(likely, 1, 2)
    negative = torch.where(likely, 4, 3)
    return torch.where(advantages > 0, positive, torch.where(advantages < 0, negative, 0))


@torch.no_grad()
def covariance_population(logprobs_NV: Tensor, weight_NV: Tensor, *, natural: bool = False) -> Tensor:
    """Entropy change of N states under the *expected* update, nats per unit step size; needs every action's weight.

    With w̄ = Σ_b π_b w_b: policy gradient dz_b = η·π_b(w_b − w̄) gives −Cov_π(log π, π(w − w̄)) (the mean over a ~ π of
    `exact`); natural policy gradient dz_b = η·w_b gives −Cov_π(log π, w).

    Source: arXiv 2505.22617 (tabular softmax), which writes the first as −η·Cov(log π, π·A).
    """
    prob_NV = logprobs_NV.exp()
    centred_NV = weight_NV - (prob_NV * weight_NV).sum(dim=-1, keepdim=True)
    step_NV = centred_NV if natural else prob_NV * centred_NV
    entropy_N1 = -(prob_NV * logprobs_NV).sum(dim=-1, keepdim=True)
    return -(prob_NV * (logprobs_NV + entropy_N1) * step_NV).sum(dim=-1)
