"""What the machine itself offers: processor, GPUs, memory for weights, sockets, compilers, means to confine code.

Each function yields (name, state, text, advice). Nothing is imported that could be broken; programs are asked with a
limit on their time.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

from steerctl.reward.sandbox.probe import probe
from steerctl.spec.machine import Machine

Fact = tuple[str, Literal["ok", "note", "missing", "broken"], str, str]
ASK_SECONDS = 10.0
GIB = 2**30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (looked at, not written)
LITTLE = 1 * GIB
"""Below this the embedded policy fits, and nothing much larger."""


def processor(machine: Machine) -> Iterator[Fact]:
    """Cores, memory, bfloat16."""
    fast = "bfloat16 in hardware" if machine.cpu_bfloat16 else "no bfloat16 instructions: use float32"
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield "CPU", "ok", f"{machine.cores} cores, {pages / GIB:.0f} GiB of memory, {fast}", ""


def gpus(machine: Machine) -> Iterator[Fact]:
    """CUDA devices, and whether the installed torch can use them."""
    if machine.gpus == 0:
        yield "GPU", "note", "none: training and generation run on the CPU", ""
        return
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    names = sorted(set((ask(query) or "unknown").splitlines()))
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = ""
    text = f"{machine.gpus}: {'; '.join(names)}"
    if torch.endswith("+cpu"):
        again = f"pip uninstall -y torch && pip install torch=={torch.removesuffix('+cpu')}"
        yield "GPU", "broken", f"{text}, but torch {torch} is built for CPUs", again
    else:
        yield "GPU", "ok", text, ""


def disks() -> Iterator[Fact]:
    """Where weights travel (two copies of the policy) and where run folders go."""
    for name, path, what in (
        ("shared memory", SHARED_MEMORY, "weights on their way to servers: two copies of the policy"),
        ("disk", Path.cwd(), "run folders"),
    ):
        if not os.access(path, os.W_OK):
            yield name, "note", f"{path} cannot be written ({what})", ""
            continue
        free = shutil.disk_usage(path).free
        text = f"{free / GIB:.1f} GiB free in {path} ({what})"
        if free >= LITTLE:
            yield name, "ok", text, ""
        elif path == SHARED_MEMORY:
            yield name, "note", text, "set rollout.generator.transport_dir, or `mount -o remount,size=8G /dev/shm`"
        else:
            yield name, "note", text, ""


def network() -> Iterator[Fact]:
    """A server and ranks talk over the loopback interface, at ports that are free."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=ASK_SECONDS).close()
    except OSError as error:
        yield "loopback", "broken", f"no connection to a port of our own: {error}", "ip link set lo up"
        return
    yield "loopback", "ok", "ports can be opened and reached", ""


def compilers() -> Iterator[Fact]:
    """None is needed on a CPU: DeepSpeed's compiled operations are not used, vLLM runs eagerly."""
    need = "vLLM on a GPU without `eager: true` compiles kernels with it; training does not need it"
    for name, advice in (("g++", "apt-get install g++"), ("ninja", "pip install ninja")):
        beside = Path(sys.executable).parent / name
        found = shutil.which(name) or (str(beside) if beside.is_file() else None)
        if found is None:
            yield name, "note", f"not found; {need}", advice
        else:
            yield name, "ok", (ask([found, "--version"]) or "?").splitlines()[0], ""


def sandbox() -> Iterator[Fact]:
    """What can confine code that a policy wrote, strongest first."""
    path = shutil.which("bwrap")
    if path is None:
        yield "bubblewrap", "note", "not found", "apt-get install bubblewrap"
    elif ask([path, "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]) is None:
        yield "bubblewrap", "note", f"{path} may not make namespaces here (container, or a kernel setting)", ""
    else:
        yield "bubblewrap", "ok", f"{path} makes namespaces", ""
    allowed = ask(["unshare", "--user", "--map-root-user", "true"]) is not None
    yield "user namespaces", "ok" if allowed else "note", "can be made" if allowed else "are not allowed here", ""
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text(encoding="ascii").split()
    except OSError:
        actions = []
    yield "seccomp", "ok" if "errno" in actions else "note", f"actions: {' '.join(actions) or 'none'}", ""
    found = probe()
    if found.tier is not None:
        yield "tier", "ok", f"{found.tier} holds: programs in answers are run in it", ""
    else:
        why = "; ".join(f"{tier}: {text}" for tier, text in found.findings.items())
        yield "tier", "note", f"none holds, so programs in answers are not run ({why})", "apt-get install bubblewrap"


def ask(command: list[str]) -> str | None:
    """Standard output of a program; None if there is no such program, or it fails or is late."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
