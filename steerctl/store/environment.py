"""Where a run came from: code revision, packages, outside plug-ins, host, command line; no environment variables."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from steerctl.extensions import sources

PACKAGES: Final = (
    "steerctl", "torch", "deepspeed", "vllm", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow",
    "pydantic", "math-verify", "accelerate", "datasets", "wandb", "triton",
)  # fmt: skip


def describe_environment(extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Facts for environment.json, `extra` (device names, for instance) added. Never raises for what is missing."""
    return {
        "run_id": uuid.uuid4().hex[:12],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "code": _revision(Path(__file__).resolve().parents[1]),
        "packages": versions(PACKAGES),
        "plugins": sources(),
        "python": platform.python_version(),
        "host": {
            "name": platform.node(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "memory_bytes": _memory(),
        },
        **(extra or {}),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    return {name: version for name in packages if (version := _version(name))}


def _revision(package: Path) -> dict[str, Any]:
    """Commit and whether files differ from it; empty when the package is not under version control."""
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {}
    changed = _git(package, "status", "--porcelain", "--", ".")
    return {"commit": _git(package, "rev-parse", "HEAD"), "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 (git is where PATH says)
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
