"""The policy that is trained: DeepSpeed ZeRO at stage 0 to 3, on CPU ranks over gloo or GPUs over NCCL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from steerctl.engine import gradients
from steerctl.engine.heads import StatsModel, check_head_agrees, freeze_randomness
from steerctl.engine.models import load_model
from steerctl.engine.optimizer import ClippingAdamW, GuardedAdamW, learning_rate
from steerctl.engine.quiet import hush, import_deepspeed
from steerctl.engine.ranks import TorchRanks, resolve_device
from steerctl.engine.settings import check_offload, deepspeed_settings, effective_stage, frozen_settings
from steerctl.errors import NonFiniteError, SpecError
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec
from steerctl.tensors import scatter_rows
from steerctl.types import Gradient, Need, OptimizerReport, Statistic, TokenBatch, TokenStats


class DeepSpeedPolicy(TorchRanks):
    """`protocols.Policy` on DeepSpeed.

    Gradients are sums over micro-batches and ranks: DeepSpeed's average over R ranks is undone by multiplying every
    loss by R. The statistics are those at `temperature`. The reference, if asked for, is the model as loaded,
    until it is renewed (`engine.reference`).

    updates   optimiser steps applied so far
    model     the trained module, `StatsModel`; its parameters are shards at stage 3
    stage     the ZeRO stage that runs (`settings.effective_stage`)
    """

    def __init__(
        self,
        policy: PolicySpec,
        optim: OptimSpec,
        engine: EngineSpec,
        *,
        temperature: float,
        seed: int,
        with_reference: bool = False,
    ) -> None:
        device = resolve_device(engine.device)
        check_offload(engine, device)
        if device == "cpu":
            torch.set_num_threads(engine.threads_per_rank)
        super().__init__(device)
        self.policy_spec, self.optim = policy, optim
        self.device = torch.device(device, torch.cuda.current_device()) if device == "cuda" else torch.device("cpu")
        self.stage = effective_stage(policy, engine)
        self.updates = 0
        self.reference_renewed = False
        self._losses = 0
        self._bad_loss: Tensor | None = None
        deepspeed = import_deepspeed(device)
        self.gathered = deepspeed.zero.GatheredParameters
        settings = partial(deepspeed_settings, policy, optim, engine, device=device)
        self.model, loading = self._load(settings, temperature, seed)
        kind = GuardedAdamW if self.stage else ClippingAdamW
        self.optimizer = kind(self.model.parameters(), optim, fused=device == "cuda")
        with hush():
            self.engine, *_ = deepspeed.initialize(
                model=self.model, optimizer=self.optimizer, config=loading, dist_init_required=False
            )
        freeze_randomness(self.model, gradient_checkpointing=policy.gradient_checkpointing)
        self.reference = self._load_reference(deepspeed, settings, temperature, seed) if with_reference else None

    def forward(self, batch: TokenBatch, needs: frozenset[Need]) -> TokenStats:
        """Statistics at every target position with a graph for `backward`."""
        return self._stats(self.engine, batch, entropy_grad="entropy_grad" in needs)

    @torch.no_grad()
    def measure(self, batch: TokenBatch) -> TokenStats:
        """The same numbers without a graph, bit-equal to `forward` at equal weights."""
        return self._stats(self.engine, batch, entropy_grad=False)

    @torch.no_grad()
    def reference_logprobs(self, batch: TokenBatch) -> Tensor:
        """Log-probabilities log π_ref(target) [B, T] of the reference."""
        if self.reference is None:
            raise RuntimeError("the policy was built without a reference (with_reference=False)")
        return self._stats(self.reference, batch, entropy_grad=False).logprobs_BT

    @torch.no_grad()
    def min_p_logprobs(self, batch: TokenBatch, min_p: float) -> Tensor:
        """The log π̃(target) [B, T] under the current policy's min-p proxy; −infinity where it is dropped."""
        mask_BT = batch.loss_mask_BT.to(self.device)
        inputs = (batch.input_ids_BT.to(self.device), mask_BT, batch.target_ids_BT.to(self.device))
        (proxy_N,) = self.engine(*inputs, False, min_p)  # noqa: FBT003 (positional arguments only)
        return scatter_rows(proxy_N, mask_BT)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradient of `loss`; a loss that is not finite is remembered and reported by `step`."""
        self._losses += 1
        index = torch.where(torch.isfinite(loss.detach()), math.inf, float(self._losses - 1))
        self._bad_loss = index if self._bad_loss is None else torch.minimum(self._bad_loss, index)
        self.engine.backward(loss * self.world_size, scale_wrt_gas=False)

    def step(self) -> OptimizerReport:
        """Clip, apply and clear the accumulated gradient.

        Raises NonFiniteError on every rank alike, weights and optimiser state untouched, gradients cleared.
        """
        rate = learning_rate(self.optim, self.updates)
        self.optimizer.set_learning_rate(rate)
        culprit = self._culprit()
        self.optimizer.blocked = culprit is not None
        try:
            self.engine.step()
        finally:
            self.optimizer.blocked = False
        norm = self._grad_norm()
        # DeepSpeed marks a norm that is not finite by -1 in places.
        if culprit is None and not (math.isfinite(norm) and norm >= 0):
            culprit = "the gradient norm is not finite"
        if culprit is not None:
            raise NonFiniteError(f"{culprit}; the update was not applied")
        self.updates += 1
        return OptimizerReport(grad_norm=norm, learning_rate=rate)

    def take_gradient(self) -> Gradient:
        """The accumulated gradient, before clipping, taken away. Raises NonFiniteError if a loss was not finite."""
        culprit = self._culprit()
        gradient = gradients.take(self.engine, self.optimizer, self._owned)
        if culprit is not None:
            raise NonFiniteError(culprit)
        return gradient

    def preconditioned(self, gradient: Gradient, *others: Gradient) -> Gradient:
        """P·gradient, P AdamW's diagonal preconditioner in the coming update, were these its gradients."""
        return gradients.preconditioned(gradient, others, self.optimizer, self._owned, self.updates)

    def product(self, left: Gradient, right: Gradient) -> float:
        """Their inner product over all parameters, alike on every rank. Raises NonFiniteError."""
        shares = self.all_gather(gradients.dot(left, right))
        # At stage 0 every rank holds the whole gradient.
        total = float(shares[0] if self.stage == 0 else sum(shares))
        gradients.require_finite(total)
        return total

    def slopes(
        self, direction: Gradient, batches: Sequence[TokenBatch], *, of: Statistic = "logprobs", back: float = 0.0
    ) -> list[Tensor]:
        """Derivative of each log π(target), or entropy, along `direction`, by a central difference of the weights.

        back  it is taken at the weights less this much of `direction`: 1 where that is what the last update changed

        Raises SpecError for bfloat16 weights, in which so small a step is lost.
        """
        if self.policy_spec.dtype != "float32":
            raise SpecError("a derivative along the weights needs policy.dtype float32: its step is lost in bfloat16")
        own = tuple(tensor.detach() for tensor in self._owned)
        length = self.product(direction, direction)
        if length == 0:
            return [torch.zeros_like(batch.advantages_BT) for batch in batches]
        step = gradients.RELATIVE_STEP * math.sqrt(self.product(own, own) / length)
        with gradients.displaced(self._owned, self.engine.optimizer) as move:
            move(direction, step - back)
            ahead = [getattr(self.measure(batch), f"{of}_BT") for batch in batches]
            move(direction, -step - back)
            return [
                (front - getattr(self.measure(batch), f"{of}_BT")) / (2 * step)
                for front, batch in zip(ahead, batches, strict=True)
            ]

    def mark(self) -> Gradient:
        """The float32 weights as they are now: a copy of what this rank owns."""
        return tuple(tensor.detach().clone() for tensor in self._owned)

    @torch.no_grad()
    def moved(self, mark: Gradient) -> Gradient:
        """How far the weights have come since `mark`, which is spent."""
        return tuple(torch.sub(tensor, start, out=start) for tensor, start in zip(self._owned, mark, strict=True))

    @property
    def learning_rate(self) -> float:
        """The rate of the coming update."""
        return learning_rate(self.optim, self.updates)

    def weights(self, *, untie: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Every parameter in full, one at a time, by its Hugging Face name; all ranks must exhaust it together.

        A tensor is valid until the next one is asked for. untie: a tied head is given too, under its own name (vLLM's
        CPU engine keeps a packed copy of the head and needs it named).
        """
        tied = self.model.tied_name() if untie else None
        embedding = self.model.model.get_input_embeddings().weight
        for name, parameter in self.model.parameter_names().items():
            with self.gathered([parameter], enabled=self.stage == 3):
                yield name, parameter.detach()
                if tied is not None and parameter is embedding:
                    yield tied, parameter.detach()

    def close(self) -> None:
        """Let go of DeepSpeed's hooks and buffers; the process group stays for whoever comes next."""
        for engine in (self.engine, self.reference):
            destroy = getattr(engine, "destroy", None)
            if destroy is not None:
                destroy()

    def _load(self, settings: Any, temperature: float, seed: int) -> tuple[StatsModel, dict[str, Any]]:  # noqa: ANN401 (a partial)
        partitioned = self.stage == 3 and (self.world_size > 1 or self.device.type == "cuda")
        partitioned = partitioned and not self.policy_spec.random_weights
        early = settings(hidden_size=0, num_parameters=0) if partitioned else None
        model = load_model(self.policy_spec, seed=seed, zero3=early)
        if not partitioned:
            check_head_agrees(model)
        if self.policy_spec.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        num_parameters = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())
        hidden_size = model.config.get_text_config().hidden_size
        return StatsModel(model, temperature), settings(hidden_size=hidden_size, num_parameters=num_parameters)

    def _load_reference(self, deepspeed: Any, settings: Any, temperature: float, seed: int) -> torch.nn.Module:  # noqa: ANN401 (untyped)
        model, config = self._load(settings, temperature, seed)
        model.requires_grad_(requires_grad=False)
        freeze_randomness(model, gradient_checkpointing=False)
        if self.stage < 3:
            return model.to(self.device)
        with hush():
            engine, *_ = deepspeed.initialize(model=model, config=frozen_settings(config), dist_init_required=False)
        module: torch.nn.Module = engine
        return module

    def _stats(self, module: Any, batch: TokenBatch, *, entropy_grad: bool) -> TokenStats:  # noqa: ANN401 (an engine or a module)
        mask_BT = batch.loss_mask_BT.to(self.device)
        rows = module(batch.input_ids_BT.to(self.device), mask_BT, batch.target_ids_BT.to(self.device), entropy_grad)
        return TokenStats(*(scatter_rows(row_N, mask_BT) for row_N in rows))

    def _culprit(self) -> str | None:
        """The first loss that was not finite, over all ranks in rank order; clears the record."""
        own = math.inf if self._bad_loss is None else float(self._bad_loss)
        self._losses, self._bad_loss = 0, None
        for rank, index in enumerate(self.all_gather(own)):
            if math.isfinite(index):
                return f"the loss of micro-batch {int(index) + 1} on rank {rank} is not finite"
        return None

    @property
    def _owned(self) -> list[Tensor]:
        return gradients.owned_tensors(self.engine.optimizer, self.model.parameter_names().values())

    def _grad_norm(self) -> float:
        if isinstance(self.optimizer, ClippingAdamW):
            return self.optimizer.grad_norm
        return float(self.engine.get_global_grad_norm())
