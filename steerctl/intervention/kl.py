"""KL penalty: keep the policy near a frozen reference, token by token, inside the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal, assert_never

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from steerctl.intervention import Intervention
from steerctl.intervention._reference import reference_logprobs
from steerctl.intervention._remarks import Handles, Surroundings
from steerctl.types import Dials, Need, TokenBatch, TokenStats

MAX_EXPONENT = 20.0
"""The exponent of k3 is held within ± this (verl)."""


class Kl(Intervention):
    """Penalty += kl_coef · k(d) with d = log π − log π_ref at the sampled token.

    estimator   k                gradient of the token
    k1          d                ∇log π: zero on average on-policy, so no pull at all towards the reference
    abs         |d|              sign(d)·∇log π
    k2          d²/2             d·∇log π: on-policy the gradient of the reverse KL
    k3          e^−d + d − 1     (1 − e^−d)·∇log π: on-policy the gradient of the forward KL

    Factor touched: the token's probability, relative to the reference. Nats; gradient through log π only. A token whose
    k reaches ± clamp has no gradient: with k3 and 10 that is d < −2.6, a token the policy has all but lost.

    Source: k1 to k3 Schulman, "Approximating KL divergence" (2020); in the loss GRPO, arXiv 2402.03300 Eq. 3-4 (k3,
    coefficient 0.04); verl `core_algos.kl_penalty_forward` (kl, abs, mse, low_var_kl).

    Departures: (1) from the paper: verl's clamps, on the exponent (±20) and the value (±10), here applied to every
    estimator as in OpenRLHF (verl: k3 only); (2) off-policy the term is not weighted by the ratio, as in verl.
    """

    kind: Literal["kl"] = "kl"
    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    turns: ClassVar[Handles] = frozenset({"penalty"})
    estimator: Literal["k1", "k2", "k3", "abs"] = "k3"
    """Which k (verl's default low_var_kl is k3)."""
    kl_coef: NonNegativeFloat = 0.001
    """Coefficient (verl 0.001; DeepSeekMath 0.04)."""
    clamp: PositiveFloat = 10.0
    """Bound on |k|, beyond which a token has no gradient (verl 10); infinity: none."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """No coefficient, or an estimator without a gradient."""
        if self.kl_coef == 0:
            yield "does nothing with kl_coef 0, but still costs the reference's forward pass"
        elif self.estimator == "k1" and around.on_policy:
            yield "estimator k1 has no gradient on average with optim.updates_per_step 1, only noise; take k2 or k3"

    def apply(self, dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:
        """The dials with the penalty added."""
        k_BT = self._k(stats.logprobs_BT - reference_logprobs(batch)).clamp(-self.clamp, self.clamp)
        return replace(dials, penalty_BT=dials.penalty_BT + self.kl_coef * k_BT)

    def _k(self, log_ratio_BT: Tensor) -> Tensor:
        match self.estimator:
            case "k1":
                return log_ratio_BT
            case "abs":
                return log_ratio_BT.abs()
            case "k2":
                return log_ratio_BT.square() / 2
            case "k3":
                exponent_BT = (-log_ratio_BT).clamp(-MAX_EXPONENT, MAX_EXPONENT)
                return exponent_BT.expm1() - exponent_BT
            case _:
                assert_never(self.estimator)
