"""DeepSpeed's configuration as a function of the spec."""

from __future__ import annotations

import pytest

from steerctl.engine.settings import check_offload, deepspeed_settings, effective_stage, frozen_settings
from steerctl.errors import SpecError
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec


def settings(engine: EngineSpec, *, device: str = "cpu", dtype: str = "float32"):
    policy = PolicySpec(dtype=dtype)
    return deepspeed_settings(policy, OptimSpec(), engine, device=device, hidden_size=64, num_parameters=1000)


def test_bfloat16_never_runs_at_stage_0() -> None:
    assert effective_stage(PolicySpec(dtype="bfloat16"), EngineSpec(zero_stage=0)) == 1
    assert effective_stage(PolicySpec(), EngineSpec(zero_stage=0)) == 0
    assert effective_stage(PolicySpec(dtype="bfloat16"), EngineSpec(zero_stage=3)) == 3


def test_gradients_add_up_and_travel_in_float32() -> None:
    made = settings(EngineSpec(zero_stage=2), dtype="bfloat16")
    assert made["bf16"]["enabled"]
    assert made["data_types"] == {"grad_accum_dtype": "fp32"}
    assert made["communication_data_type"] == "fp32"


def test_who_clips() -> None:
    assert settings(EngineSpec(zero_stage=0))["gradient_clipping"] == 0
    assert settings(EngineSpec(zero_stage=3))["gradient_clipping"] == 1.0


def test_buckets_on_a_cpu_are_no_larger_than_the_model() -> None:
    assert settings(EngineSpec())["zero_optimization"]["reduce_bucket_size"] == 1000
    assert settings(EngineSpec(), device="cuda")["zero_optimization"]["reduce_bucket_size"] > 10**7
    assert settings(EngineSpec())["zero_optimization"]["stage3_param_persistence_threshold"] == 640


def test_offload_reaches_deepspeed() -> None:
    engine = EngineSpec(offload_optimizer=True, offload_parameters=True)
    made = settings(engine, device="cuda")
    assert made["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    frozen = frozen_settings(made)
    assert frozen["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert "offload_optimizer" not in frozen["zero_optimization"]


@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        (EngineSpec(offload_optimizer=True), "cpu", "are for GPU training"),
        (EngineSpec(offload_optimizer=True, zero_stage=0), "cuda", "needs engine.zero_stage"),
        (EngineSpec(offload_optimizer=True, zero_stage=1), "cuda", "use 2"),
        (EngineSpec(offload_parameters=True, zero_stage=2), "cuda", "needs engine.zero_stage 3"),
    ],
)
def test_offload_without_effect_is_refused(engine: EngineSpec, device: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_offload(engine, device)
