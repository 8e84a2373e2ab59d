"""One optimiser step of DeepSpeed ZeRO-3 on this machine, in a process of its own; prints one line of JSON.

Usage: python -m steerctl.engine.probe_zero3
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from steerctl.engine.environment import prepare_single
from steerctl.engine.quiet import hush, import_deepspeed
from steerctl.engine.ranks import TorchRanks, resolve_device

WIDTH = 8


def main() -> None:
    """Train a linear layer for one step and look whether the gathered weight moved."""
    torch.set_num_threads(1)
    prepare_single()
    device = resolve_device("auto")
    TorchRanks(device)  # the process group
    deepspeed = import_deepspeed(device)
    with hush():
        model = torch.nn.Linear(WIDTH, WIDTH)
        engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=0.1),
            config=settings(),
            dist_init_required=False,
        )
        before = gathered(deepspeed, model)
        engine.backward(engine(torch.ones(1, WIDTH, device=engine.device)).square().sum())
        engine.step()
        moved = float((gathered(deepspeed, model) - before).abs().max())
    found = {"device": device, "ranks": 1, "moved": moved, "threads": torch.get_num_threads()}
    sys.stdout.write(json.dumps(found) + "\n")


def settings() -> dict[str, Any]:
    """The smallest configuration that shards parameters."""
    bucket = 10_000
    zero = {"stage": 3, "reduce_bucket_size": bucket, "stage3_prefetch_bucket_size": bucket}
    zero["stage3_param_persistence_threshold"] = 0
    return {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def gathered(deepspeed: Any, model: torch.nn.Linear) -> torch.Tensor:  # noqa: ANN401 (untyped)
    """The whole weight, copied out of its shards."""
    with deepspeed.zero.GatheredParameters([model.weight]):
        return model.weight.detach().clone()


if __name__ == "__main__":
    main()
