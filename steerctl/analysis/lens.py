"""A lens on one optimiser step: what it did to the entropy of chosen states, measured and taken apart by derivatives.

Plain torch on a plain model: no engine. Derivatives along a motion of the weights are exact (forward-mode
differentiation), so that nothing but rounding stands between the parts and their sum; float64 unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from steerctl.analysis.decompose import Decomposition, LossSlopes, entropy_bend, entropy_slope
from steerctl.engine.heads import linear_head
from steerctl.engine.motion import Motion, Weights
from steerctl.entropy.stats import stats_from_logits
from steerctl.errors import ModelError
from steerctl.types import TokenBatch

OWN_TOKENS = 16
"""Tokens whose own gradients are made side by side; more is no faster on a CPU."""

OWN_BYTES = 2**30
"""Memory for those gradients: with a large model fewer tokens go together."""


class Lens:
    """What one optimiser step did to the entropy of chosen states, at `temperature`, over the full vocabulary.

    model   a transformers causal language model with a linear head, or any module that maps (input_ids_BT, rows_N) to
            the logits [N, V] of those rows of the flattened [B·T] positions, causally: a row depends on no later one.
            It is taken over: evaluation mode, eager attention; its own weights are never read
    motion  of the same parameters, by the same names

    Nothing here is collective: each rank looks at its own sequences, with the motion of all.

    Memory: four copies of the weights in `dtype` (before, share and the two motions looked along), and the logits of
    the probed positions of one batch; with own-state terms two copies per token done side by side (`OWN_TOKENS`).

    Raises:
        ModelError: the model bends its logits after the head, or the motion is of other parameters.
    """

    def __init__(
        self, model: nn.Module, motion: Motion, *, temperature: float, dtype: torch.dtype = torch.float64
    ) -> None:
        self._rows, self._prefix = (_LogitRows(model), "model.") if _is_language_model(model) else (model, "")
        self._rows.eval()
        parameters = dict(model.named_parameters())
        _check_names(parameters, motion)
        self._motion, self._temperature, self._dtype = motion, temperature, dtype
        self._device = next(iter(parameters.values())).device
        self._before = self._wide(motion.before)
        self._share = self._wide(motion.share)

    def decompose(self, batch: TokenBatch, probed_BT: Tensor, slopes: LossSlopes | None = None) -> Decomposition:
        """The measured change and its parts at the positions where `probed_BT` is True.

        batch   input_ids_BT and target_ids_BT are read
        slopes  of the loss that was descended; without them the own-state terms are left out, which cost some six
                forward passes of its context per probed token, where all else costs six of the probed sequences
        """
        states = _States.of(batch, probed_BT, self._device)
        logits_NV, (motion_NV, carried_NV) = self._moved(states, self._motion.change, self._motion.carried)
        stats = stats_from_logits(logits_NV, states.targets_N)
        own = None if slopes is None else self._own(batch, probed_BT, slopes)
        return Decomposition(
            entropy_N=stats.entropy_N,
            logprob_N=stats.logprobs_N,
            mean_score_N=stats.mean_score_N,
            measured_N=self._entropy(states, 1.0) - stats.entropy_N,
            first_order_N=entropy_slope(logits_NV, motion_NV),
            second_order_N=entropy_bend(logits_NV, motion_NV),
            carried_N=entropy_slope(logits_NV, carried_NV),
            own_state_N=None if own is None else own[0],
            own_second_order_N=None if own is None else own[1],
        )

    def measured(
        self, batch: TokenBatch, probed_BT: Tensor, factor: float = 1.0, *, entropy_N: Tensor | None = None
    ) -> Tensor:
        """H(θ + factor·Δ) − H(θ) [N], nats: the step as it was, or at another learning rate.

        entropy_N  H(θ), if it is known from `decompose`: a pass less
        """
        states = _States.of(batch, probed_BT, self._device)
        before_N = self._entropy(states, 0.0) if entropy_N is None else entropy_N
        return self._entropy(states, factor) - before_N

    def along(self, batch: TokenBatch, probed_BT: Tensor, direction: Weights) -> Tensor:
        """Derivative of H [N] along any direction of the weights, by parameter name."""
        logits_NV, (motion_NV,) = self._moved(_States.of(batch, probed_BT, self._device), direction)
        return entropy_slope(logits_NV, motion_NV)

    def own_motion(self, batch: TokenBatch, probed_BT: Tensor, slopes: LossSlopes) -> Weights:
        """What each probed token's own gradient did to the weights, −D·g_t: one more dimension N in front.

        g_t = (∂loss/∂log π_t)·∇log π_t + (∂loss/∂H_t)·∇H_t. Holds N copies of the weights.
        """
        return self._own_motion(_Tokens.of(batch, probed_BT, slopes, self._dtype, self._device))

    def _own(self, batch: TokenBatch, probed_BT: Tensor, slopes: LossSlopes) -> tuple[Tensor, Tensor]:
        """Own-state term of first and of second order, [N]; tokens of like context length go together.

        A token on which the loss does not depend (no advantage, or clipped) does nothing, and costs nothing.
        """
        tokens = _Tokens.of(batch, probed_BT, slopes, self._dtype, self._device)
        own_2N = tokens.slopes_N2.new_zeros((2, len(tokens.row_N)))
        numbers = sum(value.numel() for value in self._before.values())
        together = max(1, min(OWN_TOKENS, OWN_BYTES // (2 * numbers * self._dtype.itemsize)))
        active_N = tokens.slopes_N2.any(dim=1).nonzero()[:, 0]
        active_N = active_N[tokens.row_N[active_N].argsort(stable=True)]
        for start in range(0, len(active_N), together):
            chosen = active_N[start : start + together]
            few = tokens.chosen(chosen)
            logits_NV, motion_NV = vmap(self._moved_at)(few.input_ids_NT, few.row_N, self._own_motion(few))
            own_2N[0, chosen] = entropy_slope(logits_NV, motion_NV)
            own_2N[1, chosen] = entropy_bend(logits_NV, motion_NV)
        return own_2N[0], own_2N[1]

    def _own_motion(self, tokens: _Tokens) -> dict[str, Tensor]:
        gradients = vmap(grad(self._own_loss), in_dims=(None, 0, 0, 0, 0))(
            self._before, tokens.input_ids_NT, tokens.row_N, tokens.target_N, tokens.slopes_N2
        )
        return {name: -self._share[name] * gradient for name, gradient in gradients.items()}

    def _own_loss(self, weights: Weights, ids_T: Tensor, row: Tensor, target: Tensor, slopes_2: Tensor) -> Tensor:
        """The token's share of the loss to first order: its log π and H times the loss's slopes."""
        logp_V = self._logits(weights, ids_T[None], row[None])[0].log_softmax(dim=-1)
        entropy = -(logp_V.exp() * logp_V).sum()
        return slopes_2[0] * logp_V.gather(0, target[None])[0] + slopes_2[1] * entropy

    def _moved_at(self, ids_T: Tensor, row: Tensor, direction: Weights) -> tuple[Tensor, Tensor]:
        logits_1V, motion_1V = self._jvp(ids_T[None], row[None], direction)
        return logits_1V[0], motion_1V[0]

    def _moved(self, states: _States, *directions: Weights) -> tuple[Tensor, Tensor]:
        """Logits before the step [N, V], and their derivatives along K directions [K, N, V], in one pass."""
        stacked = {
            name: torch.stack([each[name].to(self._device, self._dtype) for each in directions])
            for name in self._before
        }  # fmt: skip

        def along(direction: Weights) -> tuple[Tensor, Tensor]:
            return self._jvp(states.input_ids_BT, states.rows_N, direction)

        logits_KNV, motion_KNV = vmap(along)(stacked)
        return logits_KNV[0], motion_KNV

    def _jvp(self, ids_BT: Tensor, rows_N: Tensor, direction: Weights) -> tuple[Tensor, Tensor]:
        def logits(weights: Weights) -> Tensor:
            return self._logits(weights, ids_BT, rows_N)

        logits_NV, motion_NV = jvp(logits, (self._before,), (direction,))[:2]
        return logits_NV, motion_NV

    def _entropy(self, states: _States, factor: float) -> Tensor:
        change = self._motion.change
        weights = {
            name: value + factor * change[name].to(self._device, self._dtype) for name, value in self._before.items()
        }
        logits_NV = self._logits(weights, states.input_ids_BT, states.rows_N)
        return stats_from_logits(logits_NV, states.targets_N, entropy_grad=False).entropy_N

    def _logits(self, weights: Weights, ids_BT: Tensor, rows_N: Tensor) -> Tensor:
        """Logits [N, V] at the sampling temperature."""
        named = {self._prefix + name: value for name, value in weights.items()}
        with _torch_itself():
            logits_NV: Tensor = functional_call(self._rows, named, (ids_BT, rows_N))
        return logits_NV / self._temperature

    def _wide(self, weights: Weights) -> dict[str, Tensor]:
        return {name: value.to(self._device, self._dtype) for name, value in weights.items()}


@dataclass(frozen=True, slots=True)
class _States:
    """The probed positions of a batch, with no more context than they need: later tokens change nothing."""

    input_ids_BT: Tensor
    targets_N: Tensor
    rows_N: Tensor

    @classmethod
    def of(cls, batch: TokenBatch, probed_BT: Tensor, device: torch.device) -> _States:
        sequences = probed_BT.any(dim=1)
        if not bool(sequences.any()):
            sequences[0] = True  # models take no empty batch
        width = 1 + max(probed_BT.any(dim=0).nonzero()[:, 0].tolist(), default=0)
        chosen_BT = probed_BT[sequences, :width]
        return cls(
            input_ids_BT=batch.input_ids_BT[sequences, :width].to(device),
            targets_N=batch.target_ids_BT[probed_BT].to(device),
            rows_N=chosen_BT.reshape(-1).nonzero()[:, 0].to(device),
        )


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Probed tokens one by one: each with its own sequence, its place in it, and the loss's slopes."""

    input_ids_NT: Tensor
    row_N: Tensor
    target_N: Tensor
    slopes_N2: Tensor

    @classmethod
    def of(
        cls, batch: TokenBatch, probed_BT: Tensor, slopes: LossSlopes, dtype: torch.dtype, device: torch.device
    ) -> _Tokens:
        sequence_N, row_N = probed_BT.nonzero(as_tuple=True)
        slopes_N2 = torch.stack([slopes.logprobs_BT[probed_BT], slopes.entropy_BT[probed_BT]], dim=1)
        return cls(
            input_ids_NT=batch.input_ids_BT[sequence_N].to(device),
            row_N=row_N.to(device),
            target_N=batch.target_ids_BT[probed_BT].to(device),
            slopes_N2=slopes_N2.to(device, dtype),
        )

    def chosen(self, index_N: Tensor) -> _Tokens:
        """Some of them, their sequences cut after the last one's place."""
        width = int(self.row_N[index_N].max()) + 1
        return _Tokens(
            self.input_ids_NT[index_N, :width], self.row_N[index_N], self.target_N[index_N], self.slopes_N2[index_N]
        )


class _LogitRows(nn.Module):
    """A causal language model that gives the logits of chosen rows only: the head sees no others."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (a transformers model)
        super().__init__()
        head = linear_head(model)
        # The fused kernels of the other implementations have no forward-mode derivative.
        model.set_attn_implementation("eager")
        self.model = model
        self._parts: tuple[Any, nn.Linear] = (model.base_model, head)

    def forward(self, input_ids_BT: Tensor, rows_N: Tensor) -> Tensor:
        trunk, head = self._parts
        hidden_BTD = trunk(input_ids=input_ids_BT, use_cache=False).last_hidden_state
        logits_NV: Tensor = head(hidden_BTD.flatten(0, 1).index_select(0, rows_N))
        return logits_NV


@contextmanager
def _torch_itself() -> Iterator[None]:
    """Float64 stays float64, and `linear` is torch's: DeepSpeed's for ZeRO-3 has no forward-mode derivative."""
    found, functional.linear = functional.linear, torch.ops.aten.linear.default
    try:
        with _StayWide():
            yield
    finally:
        functional.linear = found


class _StayWide(TorchFunctionMode):
    """Lets float64 stay float64 where a model turns to float32 for precision, as norms and softmax of transformers do.

    With float32 inside, a difference quotient could not be told from a derivative beyond three or four digits.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (whatever the function returns)
        kwargs = kwargs or {}
        if not (args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64):
            return func(*args, **kwargs)
        if func is Tensor.float:
            return args[0]
        return func(*map(_widened, args), **{name: _widened(value) for name, value in kwargs.items()})


def _widened(value: Any) -> Any:  # noqa: ANN401 (any argument)
    return torch.float64 if value is torch.float32 else value


def _is_language_model(model: nn.Module) -> bool:
    return hasattr(model, "get_output_embeddings")


def _check_names(parameters: Mapping[str, Tensor], motion: Motion) -> None:
    shapes = {name: value.shape for name, value in parameters.items()}
    if shapes != {name: value.shape for name, value in motion.before.items()}:
        odd = sorted(set(shapes) ^ set(motion.before)) or ["a shape differs"]
        raise ModelError(f"the step was of another model: {odd[0]}; give the model that was trained")
