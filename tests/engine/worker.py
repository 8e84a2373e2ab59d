"""One rank of an engine test: `python worker.py FOLDER JOB`; rank 0 leaves its findings in FOLDER.

A job is a list of cases in FOLDER/JOB.json; each case builds a policy, does what it says, and is reported by name in
FOLDER/JOB-<ranks>.json with its weights in FOLDER/<case>-<ranks>[-<moment>].safetensors.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from steerctl.engine.checkpoint import load_state, save_state
from steerctl.engine.export import export_model
from steerctl.engine.models import load_tokenizer
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.errors import NonFiniteError
from steerctl.spec.experiment import EngineSpec, OptimSpec, PolicySpec
from steerctl.types import TokenBatch, TokenStats
from tests.engine.answers import answer
from tests.engine.toy import toy_loss, toy_update

NEEDS = frozenset({"entropy_grad"})
MEASURED = (0, 4)


class Case:
    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        self.name = settings["name"]
        self.report: dict[str, Any] = {"reports": [], "measure_equals_forward": True, "statistics": []}
        self.policy = DeepSpeedPolicy(
            PolicySpec(
                model=settings["model"],
                dtype=settings.get("dtype", "float32"),
                random_weights=settings.get("random_weights", False),
                gradient_checkpointing=settings.get("checkpointing", False),
            ),
            OptimSpec(lr=2e-5, warmup_updates=2, max_grad_norm=0.5, weight_decay=0.1),
            EngineSpec(zero_stage=settings["stage"], device="cpu"),
            temperature=0.9,
            seed=5,
            with_reference=settings.get("reference", False),
        )
        self.report["stage"] = self.policy.stage

    def run(self) -> None:
        policy = self.policy
        if "load" in self.settings:
            load_state(policy, self.folder / self.settings["load"])
            self.keep("loaded")
        for _ in range(self.settings.get("updates", 0)):
            self.update()
            if policy.updates == self.settings.get("save_after"):
                target = self.folder / f"{self.name}-{policy.world_size}-state"
                if policy.rank == 0:
                    target.mkdir()
                policy.barrier()
                save_state(policy, target)
                self.keep("saved")
        self.keep("end")
        for fault in self.settings.get("faults", ()):
            self.fault(fault)
        if self.settings.get("faults"):
            self.keep("after_faults")
            self.update()
            self.keep("recovered")
        if "flat_memory" in self.settings:
            self.memory(self.settings["flat_memory"])
        if self.settings.get("export"):
            self.export()
        policy.close()

    def update(self, index: int | None = None) -> None:
        policy, index = self.policy, self.policy.updates if index is None else index
        for batch in toy_update(index, policy.rank, policy.world_size):
            stats = policy.forward(batch, NEEDS)
            self.report["statistics"].append([float(tensor.detach().double().sum()) for tensor in _tensors(stats)])
            if policy.updates in MEASURED:
                self.measure(batch, stats)
            policy.backward(toy_loss(stats, batch))
        report = policy.step()
        self.report["reports"].append([report.grad_norm, report.learning_rate])

    def measure(self, batch: TokenBatch, stats: TokenStats) -> None:
        measured = self.policy.measure(batch)
        equal = all(torch.equal(a, b) for a, b in zip(_tensors(measured), _tensors(stats), strict=True))
        self.report["measure_equals_forward"] &= equal
        if self.policy.reference is not None:
            same = torch.equal(self.policy.reference_logprobs(batch), measured.logprobs_BT)
            self.report.setdefault("reference_equals_policy", []).append(same)

    def fault(self, kind: str) -> None:
        """An update with one poisoned micro-batch on the last rank; it must be refused."""
        policy = self.policy
        batches = toy_update(99, policy.rank, policy.world_size)
        for index, batch in enumerate(batches):
            stats = policy.forward(batch, NEEDS)
            loss = toy_loss(stats, batch)
            if policy.rank == policy.world_size - 1:
                if kind == "loss" and index == len(batches) - 1:
                    loss = loss * math.nan
                if kind == "gradient" and index == 0:
                    loss = loss + (stats.logprobs_BT.sum() * 0).sqrt()  # 0, with an infinite derivative
            policy.backward(loss)
        try:
            policy.step()
            text = "not refused"
        except NonFiniteError as error:
            text = str(error)
        self.report.setdefault("refusals", {})[kind] = sorted(set(policy.all_gather(text)))

    def keep(self, moment: str) -> None:
        weights = {name: value.clone() for name, value in self.policy.weights(untie=True)}
        if self.policy.rank == 0:
            save_file(weights, self.folder / f"{self.name}-{self.policy.world_size}-{moment}.safetensors")

    def memory(self, updates: int) -> None:
        before = _resident()
        for index in range(updates):
            self.update(index % 3)
        self.report["grown_bytes"] = _resident() - before

    def export(self) -> None:
        target = self.folder / f"{self.name}-{self.policy.world_size}-export"
        if self.policy.rank == 0:
            target.mkdir()
        self.policy.barrier()
        export_model(self.policy, load_tokenizer(self.policy.policy_spec), target, shard_bytes=400_000)


def _tensors(stats: TokenStats) -> tuple[torch.Tensor, ...]:
    return (stats.logprobs_BT, stats.entropy_BT, stats.mean_score_BT, stats.collision_BT)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    case = Case(folder, settings)
    case.run()
    return case.report


if __name__ == "__main__":
    answer(run)
