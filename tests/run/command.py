"""`steerctl train` as a user runs it: a process of its own, the embedded policy, seconds per run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from steerctl.metrics.catalogue import is_timing

ROOT = Path(__file__).parents[2]

SMALL = {
    "name": "small",
    "steps": 6,
    "validate_every": 3,
    "data": {
        "train": {"kind": "arithmetic", "count": 16},
        "validation": {"kind": "arithmetic", "split": "test", "count": 10},
        "max_prompt_tokens": 32,
    },
    "rollout": {"problems_per_step": 8, "group_size": 4, "max_tokens": 24},
    "reward": {"verifier": {"kind": "arithmetic"}},
    "algorithm": {"interventions": [{"kind": "steer"}]},
    "optim": {"lr": 1e-3, "updates_per_step": 2},
    "checkpoint": {"every": 2},
}


def write_spec(folder: Path, **changes) -> Path:
    spec = {**SMALL, "output": str(folder / "runs"), **changes}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **extra}


def start(*arguments: object, **extra: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "steerctl", "train", *map(str, arguments)],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def train(*arguments: object, **extra: str) -> subprocess.CompletedProcess:
    process = start(*arguments, **extra)
    out, err = process.communicate(timeout=280)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def metrics(run: Path) -> list[dict[str, float]]:
    """Every line, timings aside."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key == "step" or not is_timing(key)} for line in lines]


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()
