"""Tiers of confinement: how each is started, and which of them holds on this machine.

bubblewrap  namespaces (files, processes, network, users, ipc), an empty root with the interpreter's files read-only;
            and all of the next
landlock    file rules of the kernel's Landlock (reading the interpreter's files, nothing else), the system-call filter,
            resource limits, no capability; network and user namespaces where the kernel grants them. The pids and the
            names and sizes of files outside can still be seen, their contents cannot
unsafe      resource limits, and what of the filter and the file rules can be had; asked for by name, never as root

A tier holds if a worker started in it computes, and cannot read or write a file of ours, reach a port, fork, run a
program, or signal us: tried, not inferred from versions.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

Tier = Literal["bubblewrap", "landlock", "unsafe"]
INSIDE = Path(__file__).resolve().parent
_MOUNTED = "/sandbox"
_ASK = (
    "import json, sys, sysconfig; print(json.dumps([sys.base_prefix, sys.base_exec_prefix, "
    "sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib'), sysconfig.get_config_var('LIBDIR') or '']))"
)
_SYSTEM = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
)
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
}  # fmt: skip
_TMPFS_BYTES = 16 << 20
PACKAGES: Final = ("numpy", "sortedcontainers")
"""What code under judgement may import beside the standard library, where it is installed: LeetCode and LiveCodeBench
run with both."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python outside any virtual environment, the files it needs, and the packages that code may import.

    readable  files and folders
    packages  folders and modules beside one another in a site-packages folder
    """

    executable: str
    readable: tuple[str, ...]
    packages: tuple[str, ...] = ()


@cache
def interpreter(executable: str | None = None) -> Interpreter:
    """The interpreter that runs code under judgement; by default the one below this process's environment."""
    path = os.path.realpath(executable or getattr(sys, "_base_executable", None) or sys.executable)
    said = subprocess.run(
        [path, "-I", "-S", "-c", _ASK], capture_output=True, text=True, check=True, timeout=60, cwd="/"
    ).stdout
    prefix, exec_prefix, stdlib, platstdlib, libdir = json.loads(said)
    own = {path, stdlib, platstdlib, *map(str, _shared_libraries(prefix, exec_prefix, libdir))}
    store = {"/nix/store"} if path.startswith("/nix/store/") else set()
    there = sorted(each for each in {*own, *store, *_SYSTEM} if Path(each).exists())
    return Interpreter(path, tuple(there), tuple(_packages()) if executable is None else ())


def _packages() -> Iterator[str]:
    """What is installed here of PACKAGES, each with the folder of shared libraries that a wheel puts beside it."""
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or not found.origin or found.origin in ("built-in", "frozen"):
            continue
        place = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
        yield str(place)
        libraries = place.with_name(f"{name}.libs")
        if libraries.is_dir():
            yield str(libraries)


def _shared_libraries(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from Path(folder).glob("lib/libpython*.so*")
        yield from Path(folder).glob("libpython*.so*")


def command(tier: Tier, python: Interpreter) -> list[str]:
    """The command line of a worker."""
    shelves = sorted({str(Path(each).parent) for each in python.packages})
    settings = {
        "readable": [*python.readable, *python.packages, "/dev/null", "/dev/urandom"],
        "listable": shelves,
        "path": [f"{_MOUNTED}/packages"] if tier == "bubblewrap" else shelves,
        "landlock": tier == "landlock",
        "seccomp": True,
        "namespaces": tier == "landlock",
    }
    if tier == "bubblewrap":
        return [*_bubblewrap(python), *_server(python, _MOUNTED, settings)]
    if tier == "unsafe":
        settings |= _available(python)
    return _server(python, str(INSIDE), settings)


def environment() -> dict[str, str]:
    """All that a worker sees of the environment."""
    return dict(_ENVIRONMENT)


def _server(python: Interpreter, folder: str, settings: dict[str, object]) -> list[str]:
    boot = (
        f"import sys; sys.path[0] = {folder!r}; from inside.server import main; sys.path.pop(0); "
        f"main({json.dumps(settings)!r})"
    )
    return [python.executable, "-S", "-s", "-B", "-X", "utf8", "-c", boot]


def _bubblewrap(python: Interpreter) -> list[str]:
    found = shutil.which("bwrap")
    if found is None:
        raise FileNotFoundError("bwrap is not installed")
    line = [
        found, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox",
        "--size", str(_TMPFS_BYTES), "--tmpfs", "/",
    ]  # fmt: skip
    for path in python.readable:
        if Path(path).is_symlink() and Path(path).is_dir():
            line += ["--symlink", str(Path(path).readlink()), path]
        else:
            line += ["--ro-bind", path, path]
    for path in python.packages:
        line += ["--ro-bind", path, f"{_MOUNTED}/packages/{Path(path).name}"]
    return [
        *line, "--ro-bind", str(INSIDE / "inside"), f"{_MOUNTED}/inside", "--proc", "/proc", "--dev", "/dev",
        "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",  # noqa: S108 (of the sandbox)
        "--clearenv", *(part for name, value in _ENVIRONMENT.items() for part in ("--setenv", name, value)),
    ]  # fmt: skip


@cache
def _available(python: Interpreter) -> dict[str, object]:
    """What of the filter and the file rules can be installed; each is tried in a process of its own."""
    boots = {
        "landlock": "from inside import landlock; landlock.build([])",
        "seccomp": "from inside import seccomp; seccomp.install(seccomp.build())",
    }
    start = f"import sys; sys.path[0] = {str(INSIDE)!r}; "
    return {
        name: subprocess.run(
            [python.executable, "-S", "-s", "-B", "-c", start + boot], capture_output=True, check=False, cwd="/"
        ).returncode == 0
        for name, boot in boots.items()
    }  # fmt: skip
