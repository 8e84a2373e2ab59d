"""A sweep of seconds, as a user runs it."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial

from tests.run.command import environment

BASE = {
    "name": "tiny",
    "steps": 3,
    "validate_every": 3,
    "data": {
        "train": {"kind": "arithmetic", "count": 16},
        "validation": {"kind": "arithmetic", "split": "test", "count": 8},
        "max_prompt_tokens": 32,
    },
    "rollout": {"problems_per_step": 4, "group_size": 4, "max_tokens": 16},
    "reward": {"verifier": {"kind": "arithmetic"}},
    "optim": {"lr": 1e-3, "updates_per_step": 2},
    "engine": {"device": "cpu", "zero_stage": 0},
    "checkpoint": {"every": 1, "export": False},
    "log": {"rollouts_every": 0},
}
STEER: dict[str, Any] = {"algorithm.interventions": [{"kind": "steer"}]}
VARIANTS: list[dict[str, Any]] = [{"name": "grpo"}, {"name": "steer", "set": STEER}]


def write_sweep(folder: Path, base: dict[str, Any] | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **(base or {})}))
    sweep = {
        "name": "tiny",
        "output": str(folder / "runs"),
        "base": "base.yaml",
        "seeds": [1],
        "axes": [{"variants": VARIANTS}],
        **changes,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in sweep.items() if value is not None}, sort_keys=False))
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "steerctl", "sweep", *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    process = start(*arguments)
    out, _ = process.communicate(timeout=280)
    return subprocess.CompletedProcess(process.args, process.returncode, out, "")


def wait_until(condition: Callable[[], object], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def trials(folder: Path) -> list[FrozenTrial]:
    """Every trial of the study in a sweep's folder."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}").trials


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
