"""One rank of test_gradients: `python gradients_worker.py FOLDER JOB`; rank 0 leaves its findings in FOLDER."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from steerctl.engine.checkpoint import read_index, save_state
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.errors import NonFiniteError, SpecError
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec
from tests.engine.answers import answer
from tests.engine.toy import toy_loss, toy_update

NEEDS = frozenset({"entropy_grad"})


def build(settings: dict[str, Any]) -> DeepSpeedPolicy:
    return DeepSpeedPolicy(
        PolicySpec(model=settings["model"], dtype=settings.get("dtype", "float32")),
        OptimSpec(lr=2e-3, max_grad_norm=0.5, weight_decay=0.1),
        EngineSpec(zero_stage=settings["stage"], device="cpu"),
        temperature=0.9,
        seed=5,
    )


def backward(policy: DeepSpeedPolicy, batches: Any, *, entropy: bool = False, poison: bool = False) -> None:
    for batch in batches:
        stats = policy.forward(batch, NEEDS)
        loss = stats.entropy_BT[batch.loss_mask_BT].sum() / batch.num_tokens if entropy else toy_loss(stats, batch)
        policy.backward(loss * float("nan") if poison else loss)


def weights(policy: DeepSpeedPolicy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.weights()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    policy = build(settings)
    first, second = (toy_update(index, policy.rank, policy.world_size) for index in (0, 1))
    report: dict[str, Any] = {"fresh": probe(policy, first, settings)}
    backward(policy, first)
    mark = policy.mark()
    policy.step()
    before = weights(policy)
    change = policy.moved(mark)
    if settings.get("dtype") != "bfloat16":
        report["walked"] = by_row(policy, first, policy.slopes(change, first, of="entropy", back=1.0))
    report["later"] = probe(policy, second, settings)
    report["weights_untouched"] = same(before, weights(policy))
    backward(policy, first, poison=True)
    try:
        policy.take_gradient()
    except NonFiniteError as error:
        report["refusal"] = str(error)
    report["rate"] = policy.learning_rate
    report["saves"], report["parameters"] = saves(policy), len(before)
    backward(policy, second)
    policy.step()
    taken = weights(policy)
    policy.close()
    plain = build(settings)
    for batches in (first, second):
        backward(plain, batches)
        plain.step()
    report["no_trace"] = same(taken, weights(plain))
    plain.close()
    return report


def saves(policy: DeepSpeedPolicy) -> int:
    """Tensors in a checkpoint of a policy whose first gradient was taken away before its first step."""
    with TemporaryDirectory() as own:
        folder = Path(policy.all_gather(own)[0])
        save_state(policy, folder)
        policy.all_gather(None)  # written by the first rank, and not removed before the others are here
        count: int = policy.all_gather(len(read_index(folder)["files"]) if policy.rank == 0 else 0)[0]
    return count


def probe(policy: DeepSpeedPolicy, batches: Any, settings: dict[str, Any]) -> dict[str, Any]:
    backward(policy, batches)
    loss = policy.take_gradient()
    backward(policy, batches, entropy=True)
    entropy = policy.take_gradient()
    direction = policy.preconditioned(entropy, loss)
    found: dict[str, Any] = {"against": policy.product(direction, loss), "own": policy.product(direction, entropy)}
    if settings.get("dtype") == "bfloat16":
        try:
            policy.slopes(direction, batches)
        except SpecError as error:
            return found | {"slopes": str(error)}
    slopes = policy.slopes(direction, batches)
    nothing = policy.slopes(tuple(torch.zeros_like(part) for part in direction), batches)
    found["still"] = all(float(slope_BT.abs().max()) == 0 for slope_BT in nothing)
    return found | {"slopes": by_row(policy, batches, slopes)}


def by_row(policy: DeepSpeedPolicy, batches: Any, values: list[torch.Tensor]) -> dict[int, list[float]]:
    own = {
        row: value_BT[place][batch.loss_mask_BT[place]].tolist()
        for batch, value_BT in zip(batches, values, strict=True)
        for place, row in enumerate(batch.row_B.tolist())
    }
    return {row: numbers for share in policy.all_gather(own) for row, numbers in share.items() if row >= 0}


if __name__ == "__main__":
    answer(run)
