"""What one optimiser step did to every weight, taken apart: this update's gradient, and what was carried into it.

The step θ → θ + Δ is linear in the gradient g of its own update once the optimiser's scale is held at the value it had:

    Δ = −D·g + carried          D diagonal, one number per weight

    AdamW  D = η·c·(1 − β₁)/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)          v after the step, which holds g already
           carried = −η·λ·θ − η·β₁/(1 − β₁ᵗ)·m / (√(v/(1 − β₂ᵗ)) + ε)   m before the step
    SGD    D = η·c,  carried = 0

with learning rate η, weight decay λ, clip factor c = min(1, max_grad_norm/(‖g‖ + 10⁻⁶)), update number t from 1. So a
share of g, such as one token's own gradient, moves the weights by −D times that share, and all shares and `carried`
add up to Δ. All names are Hugging Face names.

Source: the update rule of arXiv 1711.05101 Alg. 2 as torch.optim.AdamW computes it; the split is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from steerctl.engine.master import MasterState
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.types import OptimizerReport

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Motion:
    """One optimiser step, by parameter; whole tensors on the CPU, float32 when taken from a policy.

    before         θ, the master weights before the step
    change         Δ, what the step added: the difference of what it left and what it found
    share          D, by which an infinitesimal share of the gradient moves the weights, in the opposite direction
    carried        the part of Δ that is not −D·gradient: momentum and weight decay
    gradient       g of this update's whole loss over all ranks, before clipping
    learning_rate  η of the step
    grad_norm      ‖g‖
    """

    before: Weights
    change: Weights
    share: Weights
    carried: Weights
    gradient: Weights
    learning_rate: float
    grad_norm: float

    def scaled(self, factor: float) -> Motion:
        """The same step at `factor` times its learning rate: Δ, D and carried are all proportional to η.

        Departure: (1) weights that were rounded to float32 after the real step keep that rounding, scaled.
        """

        def times(weights: Weights) -> Weights:
            return {name: value * factor for name, value in weights.items()}

        return replace(
            self,
            change=times(self.change),
            share=times(self.share),
            carried=times(self.carried),
            learning_rate=self.learning_rate * factor,
        )


class Moments(NamedTuple):
    """One parameter at one moment: its weight and AdamW's two moments; the second is not read before a step."""

    weight: Tensor
    first: Tensor
    second: Tensor | None = None


class Parts(NamedTuple):
    """One parameter's share of a Motion."""

    change: Tensor
    share: Tensor
    carried: Tensor
    gradient: Tensor


@dataclass(frozen=True, slots=True)
class AdamWStep:
    """Step number `update` (from 1) of AdamW, on a gradient that was scaled by `clip`; formulas above."""

    learning_rate: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    clip: float
    update: int

    def parts(self, before: Moments, after: Moments) -> Parts:
        """Take one parameter's step apart, in float64; the results have the dtype of the weight.

        The gradient comes from the first moment: g = (m after − β₁·m before)/((1 − β₁)·c).

        Raises:
            ValueError: the second moment after the step is missing.
        """
        if after.second is None:
            raise ValueError("the second moment after the step is needed")
        beta1, beta2 = self.betas
        first, weight, dtype = before.first.double(), before.weight.double(), before.weight.dtype
        scale = (after.second.double() / (1 - beta2**self.update)).sqrt_().add_(self.eps).reciprocal_()
        scale *= self.learning_rate / (1 - beta1**self.update)
        carried = -(self.learning_rate * self.weight_decay) * weight - beta1 * scale * first
        taken_up = after.first.double() - beta1 * first
        return Parts(
            change=(after.weight.double() - weight).to(dtype),
            share=(scale * ((1 - beta1) * self.clip)).to(dtype),
            carried=carried.to(dtype),
            gradient=(taken_up / ((1 - beta1) * self.clip)).to(dtype),
        )


class MotionWatch:
    """Remembers a policy before a step, to say afterwards what the step did; every rank gets the whole.

        watch = MotionWatch(policy)
        motion = watch.motion(policy.step())

    Both calls are collective. The policy is only read: the step is bit for bit what it would have been. Costs two
    float32 copies of the weights in the CPU memory of each rank while waiting, and five afterwards.
    """

    def __init__(self, policy: DeepSpeedPolicy) -> None:
        self._policy = policy
        self._state = MasterState(policy)
        self._before = {
            name: Moments(_kept(self._state.read(name)), _kept(self._state.read(name, "exp_avg")))
            for name in self._state.parameters
        }

    def motion(self, report: OptimizerReport) -> Motion:
        """What the step that gave `report` did; to be called once, before the next step."""
        step = self._step(report)
        read, parts = self._state.read, {}
        for name, before in self._before.items():
            after = Moments(*(_kept(value) for value in (read(name), read(name, "exp_avg"), read(name, "exp_avg_sq"))))
            parts[name] = step.parts(before, after)
        return motion_of({name: each.weight for name, each in self._before.items()}, parts, report)

    def _step(self, report: OptimizerReport) -> AdamWStep:
        optim = self._policy.optim
        return AdamWStep(
            learning_rate=report.learning_rate,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
            clip=clip_factor(report.grad_norm, optim.max_grad_norm),
            update=self._policy.updates,
        )


def motion_of(before: Weights, parts: Mapping[str, Parts], report: OptimizerReport) -> Motion:
    """A motion from each parameter's parts."""
    return Motion(
        before=before,
        change={name: each.change for name, each in parts.items()},
        share={name: each.share for name, each in parts.items()},
        carried={name: each.carried for name, each in parts.items()},
        gradient={name: each.gradient for name, each in parts.items()},
        learning_rate=report.learning_rate,
        grad_norm=report.grad_norm,
    )


def sgd_motion(before: Weights, gradient: Weights, learning_rate: float, *, max_grad_norm: float = math.inf) -> Motion:
    """The step that plain gradient descent would have made: Δ = −η·c·g, no momentum, no weight decay."""
    squares = [torch.linalg.vector_norm(value, dtype=torch.float64).square() for value in gradient.values()]
    norm = math.sqrt(sum(float(square) for square in squares))
    rate = learning_rate * clip_factor(norm, max_grad_norm)
    return Motion(
        before=before,
        change={name: -rate * value for name, value in gradient.items()},
        share={name: torch.full_like(value, rate) for name, value in gradient.items()},
        carried={name: torch.zeros_like(value) for name, value in gradient.items()},
        gradient=gradient,
        learning_rate=learning_rate,
        grad_norm=norm,
    )


def clip_factor(norm: float, max_grad_norm: float) -> float:
    """By which a gradient of this norm is multiplied before the step, as at every ZeRO stage."""
    return min(1.0, max_grad_norm / (norm + 1e-6))


def _kept(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32, copy=True)
