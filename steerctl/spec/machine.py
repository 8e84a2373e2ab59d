"""What this machine is, as far as an experiment cares; a second to find out, no engine started."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts of a machine.

    cores         CPU cores this process may use
    gpus          CUDA devices this process may use
    cpu_bfloat16  the CPU multiplies bfloat16 in hardware
    wandb_login   a key for wandb is at hand
    """

    cores: int
    gpus: int
    cpu_bfloat16: bool
    wandb_login: bool

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        return cls(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            gpus=_count_gpus(),
            cpu_bfloat16=_cpu_has("avx512_bf16", "amx_bf16", "bf16"),
            wandb_login=_has_wandb_login(),
        )


def _count_gpus() -> int:
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.cuda.device_count()) if torch.version.cuda or torch.version.hip else 0
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _cpu_has(*flags: str) -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    words = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return any(flag in words for flag in flags)


def _has_wandb_login() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return "api.wandb.ai" in (Path.home() / ".netrc").read_text(encoding="utf-8", errors="replace")
    except (OSError, RuntimeError):
        return False
