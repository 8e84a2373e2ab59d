"""AdamW that can refuse a step, and the learning rate as a pure function of the update count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor, nn

from steerctl.spec.experiment import OptimSpec


def learning_rate(optim: OptimSpec, update: int) -> float:
    """The rate of update number `update` (from 0): lr · min(1, (update + 1) / warmup_updates), then constant."""
    if update + 1 >= optim.warmup_updates:
        return optim.lr
    return optim.lr * (update + 1) / optim.warmup_updates


class GuardedAdamW(torch.optim.AdamW):
    """torch.optim.AdamW whose `step` does nothing while `blocked`: DeepSpeed still clears its gradients around it.

    While `taken` is a dictionary, a step puts a copy of each tensor's gradient there and does nothing else.
    One parameter group: weight decay applies to every parameter, as in verl and DAPO's recipe.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], optim: OptimSpec, *, fused: bool) -> None:
        super().__init__(
            parameters,
            lr=optim.lr,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
            fused=fused or None,
        )
        self.blocked = False
        self.taken: dict[Tensor, Tensor] | None = None

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the coming step, for every group."""
        for group in self.param_groups:
            group["lr"] = rate

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One AdamW step, unless blocked."""
        if self._takes() or self.blocked:
            return None
        loss: float | None = super().step(closure)
        return loss

    def _takes(self) -> bool:
        if self.taken is None:
            return False
        for tensor in (each for group in self.param_groups for each in group["params"]):
            self.taken[tensor] = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.detach().clone()
        return True


class ClippingAdamW(GuardedAdamW):
    """For ZeRO stage 0, where nobody else clips: takes the norm, clips, and blocks itself when it is not finite."""

    def __init__(self, parameters: Iterable[nn.Parameter], optim: OptimSpec, *, fused: bool) -> None:
        super().__init__(parameters, optim, fused=fused)
        self.max_grad_norm = optim.max_grad_norm
        self.grad_norm = 0.0

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Norm over all parameters before clipping, scale by min(1, max_grad_norm / norm), step."""
        if self._takes():
            return None
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.grad_norm = float(total_norm(gradients))
        if self.blocked or not math.isfinite(self.grad_norm):
            return None
        # The same 1e-6 as in DeepSpeed's ZeRO optimisers, so that all stages agree.
        scale = self.max_grad_norm / (self.grad_norm + 1e-6)
        if scale < 1:
            torch._foreach_mul_(gradients, scale)
        return super().step(closure)


def total_norm(gradients: list[Tensor]) -> Tensor:
    """Euclidean norm of all elements together, summed in float64."""
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
