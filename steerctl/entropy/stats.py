"""Log-probability, entropy, S̄ and Σπ² of every token, without ever holding all logits.

The logits are made, summed and forgotten one tile at a time (`tiles` has the sums and the formulas of the results); the
backward pass makes each tile again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from steerctl.entropy.tiles import CHUNK_BYTES, Head, Sums, add_matmul, local_targets, shaped, sum_tiles


@dataclass(frozen=True, slots=True)
class RowStats:
    """What the softmax of N states says about N target tokens; float32, or float64 where the input is float64.

    logprobs_N    log π(target), nats, at most 0
    entropy_N     H = −Σ_b π_b log π_b, nats, at least 0
    mean_score_N  S̄ = Σ_b π_b² (log π_b + H), detached, at least 0
    collision_N   Σ_b π_b², detached, e.g. 1/V for equal logits and 1 for a certain token
    """

    logprobs_N: Tensor
    entropy_N: Tensor
    mean_score_N: Tensor
    collision_N: Tensor


def stream_stats(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    temperature: float = 1.0,
    entropy_grad: bool = False,
    chunk_bytes: int | None = None,
) -> RowStats:
    """Statistics of softmax(z), z = (hidden·weightᵀ + bias)/temperature, in one streaming pass.

    Gradient of g·log π_a + k·H, by recomputation: ∂/∂z_b = g(1[b=a] − π_b) − k·π_b(log π_b + H). It reaches hidden,
    weight and bias through `logprobs_N`, and through `entropy_N` if `entropy_grad`.

    Shapes: N trained tokens (0 is allowed: empty results, zero gradients), D hidden, V vocabulary; targets are int64
    in [0, V). Sums are float32 (float64 for float64 input) whatever the input's dtype: 16-bit operands are multiplied
    in float32 on a CPU, and with float32 results on a GPU where it can; gradients return in the dtype of their input.

    `chunk_bytes` bounds one tile of logits (None: `CHUNK_BYTES` of the device); two tiles are alive at a time, beside
    the gradients themselves. It changes results only by rounding. Logits must be finite, others give NaN.

    No clamp on H is needed: M0 ≥ 1 and M1 ≤ 0 hold in floating point as well. S̄ is held at 0 from below, where
    rounding can push it by one unit in the last place (S̄ = Cov_π(π, log π) ≥ 0 is a theorem).

    ZeRO-3: call it inside the forward of the module that owns `weight_VD`, and return plain tensors from that forward,
    so that the engine's hooks gather the weight again before the backward pass. Only the parameter itself is saved.

    Raises:
        ValueError: shapes disagree, a target is outside the vocabulary, temperature or chunk_bytes is not positive.

    Source: gradients from ∂H/∂z_b = −π_b(log π_b + H), as in arXiv 2510.10150 App. G and verl's
    `FusedLinearForPPO` (verl/utils/experimental/torch_functional.py). Departures from the latter: (1) results stay in
    float32, (2) S̄ and Σπ² come along, (3) tiles over rows and vocabulary, so that the weight's gradient is written
    once and needs no second copy in float32.
    """
    _check(hidden_ND, weight_VD, targets_N, bias_V, temperature)
    if chunk_bytes is None:
        chunk_bytes = CHUNK_BYTES.get(hidden_ND.device.type, CHUNK_BYTES["cuda"])
    if chunk_bytes <= 0:
        raise ValueError(f"chunk_bytes must be positive, not {chunk_bytes}")
    learned = [tensor for tensor in (hidden_ND, weight_VD, bias_V) if tensor is not None and tensor.requires_grad]
    if not (learned and torch.is_grad_enabled()):
        with torch.no_grad(), torch.autocast(hidden_ND.device.type, enabled=False):
            return _row_stats(sum_tiles(Head.of(hidden_ND, weight_VD, bias_V, temperature, chunk_bytes), targets_N))
    settings = _Settings(targets_N, temperature, entropy_grad, chunk_bytes)
    return RowStats(*_apply(hidden_ND, weight_VD, bias_V, settings))


def stats_from_logits(
    logits_NV: Tensor, targets_N: Tensor, *, temperature: float = 1.0, entropy_grad: bool = True
) -> RowStats:
    """The same statistics from logits that exist already, by plain autograd: the reference for `stream_stats`.

    H = −Σ π log π by way of log-softmax, so with a large vocabulary in float32 its error is some 1e-5 nats where the
    streamed one's is some 1e-7. Takes several times the memory of the logits. Gradient flows through `logprobs_N` and,
    unless `entropy_grad` is False, through `entropy_N`.

    Raises:
        ValueError: temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    scaled_NV = logits_NV.to(dtype) / temperature
    logp_NV = torch.log_softmax(scaled_NV, dim=-1)
    logprobs_N = logp_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    with torch.set_grad_enabled(torch.is_grad_enabled() and entropy_grad):
        entropy_N = -(logp_NV.exp() * logp_NV).sum(dim=-1)
    with torch.no_grad():
        square_NV = (2 * logp_NV).exp()
        collision_N = square_NV.sum(dim=-1)
        mean_score_N = (square_NV * (logp_NV + entropy_N[:, None])).sum(dim=-1).clamp(min=0)
    return RowStats(logprobs_N, entropy_N, mean_score_N, collision_N)


def _check(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, bias_V: Tensor | None, temperature: float) -> None:
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    if hidden_ND.dim() != 2 or weight_VD.dim() != 2 or hidden_ND.shape[1] != weight_VD.shape[1]:
        shapes = f"{tuple(hidden_ND.shape)} and {tuple(weight_VD.shape)}"
        raise ValueError(f"hidden [N, D] and weight [V, D] have the shapes {shapes}; a sharded weight is not gathered")
    if targets_N.shape != hidden_ND.shape[:1]:
        raise ValueError(f"targets have the shape {tuple(targets_N.shape)}, not [{hidden_ND.shape[0]}]")
    vocabulary = weight_VD.shape[0]
    if bias_V is not None and bias_V.shape != (vocabulary,):
        raise ValueError(f"bias has the shape {tuple(bias_V.shape)}, not [{vocabulary}]")
    if targets_N.numel() and not 0 <= int(targets_N.min()) <= int(targets_N.max()) < vocabulary:
        raise ValueError(f"a target lies outside the vocabulary [0, {vocabulary}); select the trained rows first")


def _row_stats(sums: Sums) -> RowStats:
    mass_N, first_N, square_N, square_first_N = sums.sums_4N
    log_mass_N, mean_N = mass_N.log(), first_N / mass_N
    return RowStats(
        logprobs_N=(sums.target_logit_N - sums.shift_N) - log_mass_N,
        entropy_N=log_mass_N - mean_N,
        mean_score_N=((square_first_N - square_N * mean_N) / mass_N.square()).clamp(min=0),
        collision_N=square_N / mass_N.square(),
    )


@dataclass(frozen=True, slots=True)
class _Settings:
    targets_N: Tensor
    temperature: float
    entropy_grad: bool
    chunk_bytes: int


class _Context(Protocol):
    """The part of autograd's context that `_StreamStats` uses."""

    saved_tensors: tuple[Any, ...]
    needs_input_grad: tuple[bool, ...]
    settings: _Settings
    set_materialize_grads: Callable[[bool], None]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class _StreamStats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        settings: _Settings,
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden_ND.device.type, enabled=False):
            head = Head.of(hidden_ND, weight_VD, bias_V, settings.temperature, settings.chunk_bytes)
            sums = sum_tiles(head, settings.targets_N)
        stats = _row_stats(sums)
        detached = [stats.mean_score_N, stats.collision_N]
        ctx.mark_non_differentiable(*(detached if settings.entropy_grad else [stats.entropy_N, *detached]))
        ctx.set_materialize_grads(False)
        # The shift and log M0 stay apart: their sum would lose the small one where logits are large.
        saved_3N = torch.stack([sums.shift_N, sums.sums_4N[0].log(), stats.entropy_N])
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, saved_3N)
        ctx.settings = settings
        return stats.logprobs_N, stats.entropy_N, stats.mean_score_N, stats.collision_N

    @staticmethod
    def backward(ctx: _Context, *outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, saved_3N = ctx.saved_tensors
        settings = ctx.settings
        if weight_VD.shape[-1:] != hidden_ND.shape[-1:]:
            raise RuntimeError("the weight was freed before the backward pass: return plain tensors from its module")
        with torch.no_grad(), torch.autocast(hidden_ND.device.type, enabled=False):
            head = Head.of(hidden_ND, weight_VD, bias_V, settings.temperature, settings.chunk_bytes)
            upstream = _Upstream.of(outputs[0], outputs[1], saved_3N, settings.temperature)
            grads = _Grads.zeros(head, ctx.needs_input_grad)
            if hidden_ND.shape[0]:
                _accumulate(head, settings.targets_N, upstream, grads)
        grad_hidden_ND = None if grads.hidden_ND is None else grads.hidden_ND.to(hidden_ND.dtype)
        return grad_hidden_ND, grads.weight_VD, grads.bias_V, None


_apply: Callable[..., tuple[Tensor, ...]] = _StreamStats.apply


@dataclass(frozen=True, slots=True)
class _Upstream:
    """Loss gradients of log π_a and H divided by the temperature, and the row constants; rows are the last dimension.

    constants_5N  logprob gradient g, entropy gradient k, max z, log M0, H
    """

    constants_5N: Tensor
    through_entropy: bool

    @classmethod
    def of(cls, logprob_N: Tensor | None, entropy_N: Tensor | None, saved_3N: Tensor, temperature: float) -> _Upstream:
        grads_2N = torch.stack(
            [saved_3N.new_zeros(saved_3N.shape[1]) if g is None else g for g in (logprob_N, entropy_N)]
        )
        return cls(torch.cat([grads_2N / temperature, saved_3N]), entropy_N is not None)

    def to_logits(self, rows: slice, logits_RC: Tensor, scratch_RC: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        """Gradient of a tile's logits before the temperature; spends the tile, answers in the scratch."""
        logprob_R1, entropy_grad_R1, shift_R1, log_mass_R1, entropy_R1 = self.constants_5N[:, rows, None]
        torch.exp(logits_RC.sub_(shift_R1).sub_(log_mass_R1), out=scratch_RC)
        if self.through_entropy:
            logits_RC.mul_(-entropy_grad_R1).sub_(logprob_R1 + entropy_grad_R1 * entropy_R1)
            scratch_RC.mul_(logits_RC)
        else:
            scratch_RC.mul_(-logprob_R1)
        column_R1, inside_R1 = targets
        hit_R1 = scratch_RC.gather(1, column_R1)
        return scratch_RC.scatter_(1, column_R1, hit_R1 + torch.where(inside_R1, logprob_R1, 0))


@dataclass(frozen=True, slots=True)
class _Grads:
    """Gradients being filled; None for an input that needs none. Only the weight's has its input's dtype already."""

    hidden_ND: Tensor | None
    weight_VD: Tensor | None
    bias_V: Tensor | None

    @classmethod
    def zeros(cls, head: Head, needed: tuple[bool, ...]) -> _Grads:
        hidden_ND, weight_VD, bias_V = head.hidden_ND, head.weight_VD, head.bias_V
        return cls(
            hidden_ND=torch.zeros_like(hidden_ND, dtype=head.dtype) if needed[0] else None,
            weight_VD=torch.zeros_like(weight_VD, memory_format=torch.contiguous_format) if needed[1] else None,
            bias_V=torch.zeros_like(bias_V, dtype=head.dtype) if needed[2] and bias_V is not None else None,
        )


def _accumulate(head: Head, targets_N: Tensor, upstream: _Upstream, grads: _Grads) -> None:
    """Make every tile of logits again and add its share to the gradients."""
    tile, scratch = head.buffers()
    for block in head.blocks():
        weight_CD = None if grads.weight_VD is None else grads.weight_VD[block.columns]
        # A 16-bit weight's gradient is summed in float32 and rounded once.
        wide_CD = None if weight_CD is None else weight_CD.to(head.dtype)
        for rows in head.row_slices():
            logits_RC = head.logits(rows, block, tile)
            targets = local_targets(targets_N[rows], block.columns)
            grad_RC = upstream.to_logits(rows, logits_RC, shaped(scratch, *logits_RC.shape), targets)
            factor_RC = grad_RC.to(head.operand)
            if grads.hidden_ND is not None:
                add_matmul(factor_RC, block.weight_CD, grads.hidden_ND[rows])
            if wide_CD is not None:
                add_matmul(factor_RC.t(), head.hidden_ND[rows], wide_CD)
            if grads.bias_V is not None:
                grads.bias_V[block.columns].add_(grad_RC.sum(dim=0))
        if weight_CD is not None and wide_CD is not weight_CD and wide_CD is not None:
            weight_CD.copy_(wide_CD)
