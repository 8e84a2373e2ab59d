"""One rank of test_motion: `python motion_worker.py FOLDER JOB`; rank 0 leaves its findings in FOLDER."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from steerctl.engine.motion import Motion, MotionWatch
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec
from tests.engine.answers import answer
from tests.engine.toy import toy_loss, toy_update

PARTS = ("before", "change", "share", "carried", "gradient")
UPDATES = 2


def build(settings: dict[str, Any]) -> DeepSpeedPolicy:
    return DeepSpeedPolicy(
        PolicySpec(model=settings["model"]),
        OptimSpec(lr=2e-3, max_grad_norm=0.5, weight_decay=0.1, warmup_updates=2),
        EngineSpec(zero_stage=settings["stage"], device="cpu"),
        temperature=0.9,
        seed=5,
    )


def backward(policy: DeepSpeedPolicy, index: int) -> None:
    for batch in toy_update(index, policy.rank, policy.world_size):
        policy.backward(toy_loss(policy.forward(batch, frozenset({"entropy_grad"})), batch))


def weights(policy: DeepSpeedPolicy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.weights()}


def taken(policy: DeepSpeedPolicy, index: int) -> dict[str, torch.Tensor]:
    """The gradient as the optimiser is handed it; at stage 0 it is whole, and in the order of the parameters."""
    if policy.stage > 0:
        return {}
    backward(policy, index)
    return dict(zip(policy.model.parameter_names(), policy.take_gradient(), strict=True))


def watched(policy: DeepSpeedPolicy, index: int) -> Motion:
    backward(policy, index)
    watch = MotionWatch(policy)
    return watch.motion(policy.step())


def missed_by(motion: Motion, name: str, after: torch.Tensor) -> float:
    """How far before + change is from the weights the step left, as a share of the change, in float64."""
    change = motion.change[name].double()
    missed = (motion.before[name].double() + change - after.double()).abs()
    return float((missed / change.abs().clamp(min=1e-30)).max())


def run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    policy = build(settings)
    report: dict[str, Any] = {"updates": []}
    for index in range(UPDATES):
        gradient = taken(policy, index)
        motion = watched(policy, index)
        found = weights(policy)
        missed = max(missed_by(motion, name, value) for name, value in found.items())
        report["updates"].append({"norm": motion.grad_norm, "rate": motion.learning_rate, "missed": missed})
        if policy.rank == 0:
            name = f"{settings['name']}-{policy.world_size}-{index}"
            parts = {f"{part}/{key}": value for part in PARTS for key, value in getattr(motion, part).items()}
            save_file(parts | {f"taken/{key}": value for key, value in gradient.items()}, folder / name)
    policy.close()
    plain = build(settings)
    for index in range(UPDATES):
        backward(plain, index)
        plain.step()
    unwatched = weights(plain)
    report["no_trace"] = all(torch.equal(unwatched[name], found[name]) for name in found)
    plain.close()
    return report


if __name__ == "__main__":
    answer(run)
