"""What DeepSpeed is told: its configuration as a function of the spec."""

from __future__ import annotations

from typing import Any

from steerctl.engine.ranks import Device
from steerctl.errors import SpecError
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec

GPU_BUCKET = 100_000_000
"""Elements reduced or gathered at once on a GPU; on a CPU one bucket holds no more than the model."""


def effective_stage(policy: PolicySpec, engine: EngineSpec) -> int:
    """The ZeRO stage that runs: stage 0 with bfloat16 weights runs as stage 1.

    DeepSpeed's stage 0 would add up bfloat16 gradients in bfloat16, which loses micro-batches; its stage 1 sums in
    float32, and gives the same weights.
    """
    return max(engine.zero_stage, 1) if policy.dtype == "bfloat16" else engine.zero_stage


def check_offload(engine: EngineSpec, device: Device) -> None:
    """Refuse offload settings that could not have an effect.

    Raises:
        SpecError: offload on a CPU, or at a stage without the state to offload.
    """
    if (engine.offload_optimizer or engine.offload_parameters) and device == "cpu":
        raise SpecError("engine.offload_optimizer and engine.offload_parameters are for GPU training; set them false")
    if engine.offload_optimizer and engine.zero_stage == 0:
        raise SpecError("engine.offload_optimizer needs engine.zero_stage 1, 2 or 3")
    if engine.offload_optimizer and engine.zero_stage == 1:
        raise SpecError("engine.offload_optimizer needs engine.zero_stage 2 or 3 here; use 2")
    if engine.offload_parameters and engine.zero_stage != 3:
        raise SpecError("engine.offload_parameters needs engine.zero_stage 3")


def deepspeed_settings(
    policy: PolicySpec, optim: OptimSpec, engine: EngineSpec, *, device: Device, hidden_size: int, num_parameters: int
) -> dict[str, Any]:
    """The configuration for `deepspeed.initialize`.

    - The caller owns the accumulation boundary (`managed_gradient_accumulation`): micro-batches of an update differ in
      number, and only `step` ends them.
    - Gradients add up in float32 whatever the working type, and travel between ranks in float32.
    - Stage 0 clips in `optimizer.ClippingAdamW`, the others in DeepSpeed.
    - Parameters above ten times the hidden size are partitioned at stage 3; below, gathering costs more than holding.
    """
    stage = effective_stage(policy, engine)
    # Even: DeepSpeed aligns what it gathers to pairs of 16-bit numbers.
    bucket = GPU_BUCKET if device == "cuda" else max(num_parameters + num_parameters % 2, 2)
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": device == "cuda",
        "contiguous_gradients": True,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
    }
    if stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": bucket,
            "stage3_param_persistence_threshold": 10 * hidden_size,
        }
    if engine.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if engine.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": optim.max_grad_norm if stage else 0.0,
        "steps_per_print": None,
        "wall_clock_breakdown": False,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
    }
    if policy.dtype == "bfloat16":
        settings["bf16"] = {"enabled": True, "check_grad_overflow": True}
    return settings


def frozen_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a partitioned copy that is never trained (the reference under stage 3)."""
    kept = ("train_micro_batch_size_per_gpu", "steps_per_print", "bf16")
    zero_keys = ("stage", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold", "offload_param")
    zero = {key: value for key, value in settings["zero_optimization"].items() if key in zero_keys}
    return {key: settings[key] for key in kept if key in settings} | {"zero_optimization": zero}
