"""The parts of an entropy change: what a motion of the logits does to the entropy, and what the parts add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steerctl.types import TokenStats


@dataclass(frozen=True, slots=True)
class LossSlopes:
    """How the update's loss depends on each token's statistics: ∂loss/∂log π and ∂loss/∂H, [B, T]."""

    logprobs_BT: Tensor
    entropy_BT: Tensor


def loss_slopes(loss: Callable[[TokenStats], Tensor], stats: TokenStats) -> LossSlopes:
    """Slopes of a micro-batch's loss with the statistics as leaves: right for every surrogate, reduction and penalty.

    loss   the micro-batch's part of the update's loss, as it is given to `Policy.backward`
    stats  of the policy before the step; their graph, if there is one, is not followed

    Departure: (1) what the loss does with S̄ and Σπ² has no slope here, since it has no gradient in training either.
    """
    leaves = [value.detach().requires_grad_() for value in (stats.logprobs_BT, stats.entropy_BT)]
    with torch.enable_grad():
        value = loss(replace(stats, logprobs_BT=leaves[0], entropy_BT=leaves[1]))
    if not value.requires_grad:
        return LossSlopes(*map(torch.zeros_like, leaves))
    slopes = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return LossSlopes(*(slope.detach() for slope in slopes))


def entropy_slope(logits_NV: Tensor, motion_NV: Tensor) -> Tensor:
    """Derivative [N] of the entropy of softmax(z) along dz: dH = −Σ_b π_b(log π_b + H)·dz_b, nats."""
    logp_NV, entropy_N1 = _softmax(logits_NV)
    return -(logp_NV.exp() * (logp_NV + entropy_N1) * _centred(logp_NV, motion_NV)).sum(dim=-1)


def entropy_bend(logits_NV: Tensor, motion_NV: Tensor) -> Tensor:
    """Half the second derivative [N] along dz: ½d²H = −½·E_π[(dz − E_π dz)²(1 + log π + H)], nats.

    The motion of the logits is taken as straight: the bend of the logits as functions of the weights is not in it.
    """
    logp_NV, entropy_N1 = _softmax(logits_NV)
    return -0.5 * (logp_NV.exp() * _centred(logp_NV, motion_NV).square() * (1 + logp_NV + entropy_N1)).sum(dim=-1)


def _softmax(logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    logp_NV = logits_NV.log_softmax(dim=-1)
    return logp_NV, -(logp_NV.exp() * logp_NV).sum(dim=-1, keepdim=True)


def _centred(logp_NV: Tensor, motion_NV: Tensor) -> Tensor:
    """A common shift of all logits changes nothing; without it no digits are lost to it."""
    return motion_NV - (logp_NV.exp() * motion_NV).sum(dim=-1, keepdim=True)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Each probed position's entropy change and its parts, in nats, [N], row-major over the mask.

        measured = own_state + interference + remainder        first_order = own_state + interference

    entropy_N, logprob_N, mean_score_N  H, log π of the target and S̄ before the step
    measured_N          H(θ + Δ) − H(θ)
    first_order_N       derivative of H along Δ
    second_order_N      ½ d²H along the first-order motion of the logits under Δ
    carried_N           derivative of H along momentum and weight decay: a part of the interference
    own_state_N         derivative of H along what the token's own gradient did; None if it was not asked for
    own_second_order_N  ½ d²H along the motion of the logits that this made; likewise
    """

    entropy_N: Tensor
    logprob_N: Tensor
    mean_score_N: Tensor
    measured_N: Tensor
    first_order_N: Tensor
    second_order_N: Tensor
    carried_N: Tensor
    own_state_N: Tensor | None = None
    own_second_order_N: Tensor | None = None

    @property
    def interference(self) -> Tensor | None:
        """What everything but the token's own gradient did, to first order, [N]; None where that is not known."""
        return None if self.own_state_N is None else self.first_order_N - self.own_state_N

    @property
    def remainder(self) -> Tensor:
        """What first-order theory missed, [N]."""
        return self.measured_N - self.first_order_N

    def scaled(self, factor: float, measured_N: Tensor) -> Decomposition:
        """The parts at `factor` times the learning rate, whose measured change (`Lens.measured`) must be given.

        Terms of first order grow with the factor, those of second order with its square: no other pass is needed.
        """
        own_N, own_second_N = self.own_state_N, self.own_second_order_N
        return replace(
            self,
            measured_N=measured_N,
            first_order_N=self.first_order_N * factor,
            second_order_N=self.second_order_N * factor**2,
            carried_N=self.carried_N * factor,
            own_state_N=None if own_N is None else own_N * factor,
            own_second_order_N=None if own_second_N is None else own_second_N * factor**2,
        )

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The columns of the token table (`analysis.columns`) that are known here; those not asked for are left out."""
        values = {
            "entropy": self.entropy_N,
            "logprob": self.logprob_N,
            "mean_score": self.mean_score_N,
            "measured": self.measured_N,
            "first_order": self.first_order_N,
            "second_order": self.second_order_N,
            "own_state": self.own_state_N,
            "own_second_order": self.own_second_order_N,
            "carried": self.carried_N,
            "interference": self.interference,
            "remainder": self.remainder,
        }
        return {name: value.double().cpu().numpy() for name, value in values.items() if value is not None}
