"""One rank of test_reference: `python reference_worker.py FOLDER JOB`; rank 0 leaves its findings in FOLDER."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from steerctl.engine.checkpoint import load_state, read_index, save_state
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.reference import reference_weights, renew_reference
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec
from tests.engine.answers import answer
from tests.engine.gradients_worker import backward, same, weights
from tests.engine.toy import toy_update


def build(settings: dict[str, Any]) -> DeepSpeedPolicy:
    return DeepSpeedPolicy(
        PolicySpec(model=settings["model"]),
        OptimSpec(lr=2e-3),
        EngineSpec(zero_stage=settings["stage"], device="cpu"),
        temperature=0.9,
        seed=5,
        with_reference=True,
    )


def frozen(policy: DeepSpeedPolicy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in reference_weights(policy)}


def run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    policy, report = build(settings), {}
    batches = toy_update(0, policy.rank, policy.world_size)
    start = weights(policy)

    def agrees() -> bool:
        pairs = [(policy.reference_logprobs(batch), policy.measure(batch).logprobs_BT) for batch in batches]
        return all(policy.all_gather(all(torch.equal(*pair) for pair in pairs)))

    report["starts_equal"] = agrees() and same(frozen(policy), start)
    backward(policy, batches)
    policy.step()
    moved = weights(policy)
    report["stays_behind"] = not agrees() and same(frozen(policy), start)
    target = folder / f"{settings['name']}-{policy.world_size}"
    if policy.rank == 0:
        for name in ("early", "late"):
            (target / name).mkdir(parents=True)
    policy.barrier()
    save_state(policy, target / "early")
    renew_reference(policy)
    report["renewed"] = agrees() and same(frozen(policy), moved) and same(weights(policy), moved)
    backward(policy, batches)
    policy.step()
    report["stays_again"] = not agrees() and same(frozen(policy), moved)
    save_state(policy, target / "late")
    policy.close()
    resumed = build(settings)
    load_state(resumed, target / "late")
    report["resumed"] = same(frozen(resumed), moved) and not same(weights(resumed), moved)
    resumed.close()
    early = build(settings)
    load_state(early, target / "early")
    report["early"] = same(frozen(early), start) and not early.reference_renewed
    early.close()
    files = [read_index(target / name)["files"] for name in ("early", "late")]
    report["saved"] = [sum(key.startswith("reference:") for key in each) for each in files]
    report["parameters"] = len(start)
    return report


if __name__ == "__main__":
    answer(run)
