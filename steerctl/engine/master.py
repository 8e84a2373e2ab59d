"""One view on what must survive a resume, whatever the ZeRO stage: float32 weights and AdamW's two moments.

A stage-0 model holds them whole; stages 1 and 2 hold a slice of one flat vector per rank; stage 3 holds, per parameter,
a slice per rank. `MasterState` reads and writes whole tensors, one parameter at a time; every method is a collective.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from steerctl.engine.gradients import owned_tensors
from steerctl.engine.policy import DeepSpeedPolicy

Moment = Literal["exp_avg", "exp_avg_sq"]
MOMENTS: tuple[Moment, ...] = ("exp_avg", "exp_avg_sq")


class MasterState:
    """Float32 weights and moments of a policy, by Hugging Face name."""

    def __init__(self, policy: DeepSpeedPolicy) -> None:
        from deepspeed import utils  # noqa: PLC0415 (imported quietly by the policy)

        self._policy = policy
        self._deepspeed: Any = utils
        self.parameters = policy.model.parameter_names()
        self._make_moments()

    def read(self, name: str, moment: Moment | None = None) -> Tensor:
        """The float32 weight of a parameter, or one of its moments, whole; valid on every rank."""
        parameter = self.parameters[name]
        if self._policy.stage == 0:
            whole = parameter.detach() if moment is None else self._policy.optimizer.state[parameter][moment]
        elif moment is None:
            whole = self._deepspeed.safe_get_full_fp32_param(parameter)
        else:
            whole = self._deepspeed.safe_get_full_optimizer_state(parameter, moment)
        return torch.as_tensor(whole)

    def write(self, name: str, value: Tensor, moment: Moment | None = None) -> None:
        """Set the float32 weight (and the working weight that is cast from it) or a moment; same value on all ranks."""
        parameter, stage = self.parameters[name], self._policy.stage
        value = value.to(self._policy.device)
        if stage == 0:
            target = parameter.data if moment is None else self._policy.optimizer.state[parameter][moment]
            target.copy_(value)
        elif stage == 3:
            self._write_slice(parameter, value, moment)
        elif moment is None:
            self._deepspeed.safe_set_full_fp32_param(parameter, value)
            parameter.data.copy_(value)
        else:
            self._deepspeed.safe_set_full_optimizer_state(parameter, value, moment)

    def _write_slice(self, parameter: Any, value: Tensor, moment: Moment | None) -> None:  # noqa: ANN401 (ZeRO-3 adds attributes to a Parameter)
        # DeepSpeed's own setter of whole tensors fails where a size is not divisible by the number of ranks.
        size = parameter.ds_tensor.ds_numel
        padded = value.new_zeros(size * self._policy.world_size)
        padded[: value.numel()] = value.reshape(-1)
        own = padded[size * self._policy.rank : size * (self._policy.rank + 1)]
        if moment is not None:
            self._deepspeed.safe_set_local_optimizer_state(parameter, own, moment)
            return
        self._deepspeed.safe_set_local_fp32_param(parameter, own)
        with self._policy.gathered([parameter], modifier_rank=0):
            parameter.data.copy_(value)

    @torch.no_grad()
    def _make_moments(self) -> None:
        """AdamW makes its state at the first step; make it now, as that step would, where it is missing."""
        optimizer = self._policy.optimizer
        for owner in self._owners():
            state = optimizer.state[owner]
            if not state:
                fused = bool(optimizer.defaults["fused"])
                state["step"] = torch.zeros((), dtype=torch.float32, device=owner.device if fused else "cpu")
                state["exp_avg"] = torch.zeros_like(owner, memory_format=torch.preserve_format)
                state["exp_avg_sq"] = torch.zeros_like(owner, memory_format=torch.preserve_format)
        wrapper = self._policy.engine.optimizer
        if hasattr(wrapper, "_hp_optimizer_states_linked"):
            # A gradient taken before the first step made DeepSpeed link the empty state, and it links only once.
            wrapper._hp_optimizer_states_linked = False  # noqa: SLF001 (DeepSpeed has no public way)
        link = getattr(wrapper, "_lazy_init_hp_params_optimizer_state", None)
        if link is not None:
            link()

    def set_updates(self, updates: int) -> None:
        """AdamW's step counter, which its bias correction divides by."""
        for owner in self._owners():
            self._policy.optimizer.state[owner]["step"].fill_(float(updates))

    def _owners(self) -> list[Tensor]:
        """The tensors AdamW steps on: parameters at stage 0, this rank's flat float32 slices above."""
        return owned_tensors(self._policy.engine.optimizer, self.parameters.values())
