"""Gradients as the optimiser is handed them: taken away, multiplied with each other, and walked along.

DeepSpeed keeps gradients in a different place at every stage, but at every stage it hands the optimiser one tensor per
tensor that this rank owns (whole parameters at stage 0, slices of flat float32 vectors above). So a gradient is taken
by an optimiser step that copies instead of stepping, and Adam's second moment lies beside it, cut alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steerctl.errors import NonFiniteError

if TYPE_CHECKING:
    from steerctl.engine.optimizer import GuardedAdamW
    from steerctl.types import Gradient

RELATIVE_STEP = 1e-4
"""Length of the step of a difference quotient, as a share of the weights' own length: between truncation (1e-3: errors
of 0.2%) and rounding of float32 log-probabilities (1e-5: the same); measured on the model of tests/engine/toy.py."""


def owned_tensors(wrapper: Any, parameters: Iterable[Tensor]) -> list[Tensor]:  # noqa: ANN401 (DeepSpeed's optimisers share no type)
    """The tensors AdamW steps on: parameters at stage 0, this rank's flat float32 slices above."""
    for attribute in (
        "fp32_partitioned_groups_flat",  # stage 3
        "single_partition_of_fp32_groups",  # stages 1 and 2
        "fp32_groups_flat_partition",  # stage 1 in bfloat16
    ):
        flat = getattr(wrapper, attribute, None)
        if flat is not None:
            return list(flat)
    return list(parameters)


def take(engine: Any, optimizer: GuardedAdamW, owned: list[Tensor]) -> Gradient:  # noqa: ANN401 (untyped)
    """The accumulated gradient, unclipped; the optimiser is left as if nothing had been accumulated. Collective."""
    wrapper = engine.optimizer
    clip = getattr(wrapper, "clip_grad", None)
    optimizer.taken = {}
    try:
        if clip is not None:
            wrapper.clip_grad = 0.0
        engine.step()
        taken = optimizer.taken
    finally:
        optimizer.taken = None
        if clip is not None:
            wrapper.clip_grad = clip
    return tuple(taken.get(tensor, torch.full_like(tensor, math.nan)) for tensor in owned)


def preconditioned(
    gradient: Gradient, others: tuple[Gradient, ...], optimizer: GuardedAdamW, owned: list[Tensor], updates: int
) -> Gradient:
    """P·gradient with AdamW's P = 1/(√(v'/(1 − β₂ᵗ)) + ε) of the coming update, number t = updates + 1.

    v' = β₂·v + (1 − β₂)·max(gradient², others²), element by element: without a share of the coming update, a weight
    that never had a gradient (the embedding of a token not seen yet) would have P = 1/ε.
    """
    beta, eps = optimizer.defaults["betas"][1], optimizer.defaults["eps"]
    correction = 1 - beta ** (updates + 1)
    result = []
    for index, (tensor, part) in enumerate(zip(owned, gradient, strict=True)):
        square = part.square()
        for other in others:
            square = torch.maximum(square, other[index].square())
        second = square.mul_(1 - beta)
        state = optimizer.state.get(tensor)
        if state:
            second = second.add_(state["exp_avg_sq"], alpha=beta)
        result.append(part / (second.div_(correction).sqrt_() + eps))
    return tuple(result)


def dot(left: Gradient, right: Gradient) -> float:
    """Σ left·right over this rank's shares, in float64."""
    return sum(float(torch.dot(a.flatten().double(), b.flatten().double())) for a, b in zip(left, right, strict=True))


def require_finite(*values: float) -> None:
    """Raises NonFiniteError where an inner product is not a number to divide by."""
    if not all(map(math.isfinite, values)):
        raise NonFiniteError("an inner product of gradients is not finite; nothing was applied")


@contextmanager
def displaced(owned: list[Tensor], wrapper: Any) -> Iterator[Any]:  # noqa: ANN401 (untyped)
    """Gives `move(direction, length)`: weights + length·direction on all ranks; at the end they are just as before."""
    home = [tensor.detach().clone() for tensor in owned]

    @torch.no_grad()
    def move(direction: Gradient, length: float) -> None:
        for tensor, start, part in zip(owned, home, direction, strict=True):
            tensor.copy_(start).add_(part, alpha=length)
        _spread(wrapper)

    try:
        yield move
    finally:
        with torch.no_grad():
            for tensor, start in zip(owned, home, strict=True):
                tensor.copy_(start)
            _spread(wrapper)


def _spread(wrapper: Any) -> None:  # noqa: ANN401 (untyped)
    """Carry the owned float32 tensors into the working weights of all ranks, as DeepSpeed's own step ends."""
    if hasattr(wrapper, "update_lp_params"):  # stages 1 and 2
        wrapper.update_lp_params()
    elif hasattr(wrapper, "fp32_partitioned_groups_flat"):  # stage 3
        wrapper._partition_all_parameters()  # noqa: SLF001 (DeepSpeed has no public way)
        for index in range(len(wrapper.fp32_partitioned_groups_flat)):
            wrapper._reassign_or_swap_out_partitioned_parameters(index)  # noqa: SLF001 (as above)
        if wrapper.persistent_parameters:
            wrapper.persistent_parameters[0].all_gather(wrapper.persistent_parameters)
