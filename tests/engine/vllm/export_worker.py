"""Export a policy that has moved, from ZeRO-3, as the end of a run does. A process of its own: it becomes a rank.

Usage: python export_worker.py FOLDER
"""

import sys
from pathlib import Path

import torch

from steerctl.engine.environment import prepare_single
from steerctl.engine.export import export_model
from steerctl.engine.master import MasterState
from steerctl.engine.models import load_tokenizer
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec


def main(folder: Path) -> None:
    prepare_single()
    policy = DeepSpeedPolicy(PolicySpec(), OptimSpec(), EngineSpec(device="cpu"), temperature=1.0, seed=1)
    generator = torch.Generator().manual_seed(5)
    state = MasterState(policy)
    for name in state.parameters:
        value = state.read(name).detach()
        state.write(name, value + 0.02 * torch.randn(value.shape, generator=generator))
    export_model(policy, load_tokenizer(PolicySpec()), folder)
    policy.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
