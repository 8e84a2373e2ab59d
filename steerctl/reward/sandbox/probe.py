"""Which tier holds on this machine: tried, with attacks that must fail and a job that must not."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from steerctl.errors import EngineError, UserError
from steerctl.reward.sandbox.inside.codec import decode, encode
from steerctl.reward.sandbox.job import Job, Limits, Reply
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.tiers import Interpreter, Tier, interpreter

TIERS: Final[tuple[Tier, ...]] = ("bubblewrap", "landlock")
"""Strongest first."""
_LIMITS = Limits(cpu_seconds=5, wall_seconds=20, memory_mib=1024)
_TRIAL = """
import ctypes, os, socket, subprocess
def trial(secret, folder, port, pid):
    def works(attempt):
        try:
            return attempt() not in (None, False, -1)
        except BaseException:
            return False
    return {
        "compute": sum(range(10)) == 45,
        "read a file": works(lambda: open(secret).read()),
        "write a file": works(lambda: open(folder + "/written", "w").write("x")),
        "connect": works(lambda: socket.create_connection(("127.0.0.1", port), 1)),
        "fork": works(lambda: os.fork() >= 0 or True),
        "run a program": works(lambda: subprocess.run(["/bin/true"]).returncode == 0),
        "signal": works(lambda: os.kill(pid, 0) is None),
    }
"""
INSTALL = "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)"


@dataclass(frozen=True, slots=True)
class Probe:
    """The strongest tier that holds, or None; for each tier why it does not, or what it consists of."""

    tier: Tier | None
    findings: Mapping[Tier, str] = field(default_factory=dict)


@cache
def probe(executable: str | None = None) -> Probe:
    """Try the tiers, strongest first, up to the first that holds; about 0.2 s."""
    findings: dict[Tier, str] = {}
    for tier in TIERS:
        failure = _try(tier, executable)
        findings[tier] = failure or "holds"
        if not failure:
            return Probe(tier, findings)
    return Probe(None, findings)


def choose(wanted: Tier | None, *, unsafe: bool) -> Tier:
    """The tier to run untrusted code in.

    wanted  this one or none; None: the strongest that holds
    unsafe  run it with limits only where nothing holds; never as root

    Raises:
        UserError: no tier holds, and why not.
    """
    if wanted is not None and wanted != "unsafe":
        failure = _try(wanted, None)
        if failure:
            raise UserError(f"the sandbox tier {wanted} does not hold here ({failure}); {INSTALL}, or use tier: auto")
        return wanted
    found = probe()
    if found.tier is not None:
        return found.tier
    if unsafe and os.geteuid() != 0:
        return "unsafe"
    why = "; ".join(f"{tier}: {text}" for tier, text in found.findings.items())
    if unsafe:
        raise UserError(f"untrusted code is never run unconfined as root; {INSTALL}, or become another user ({why})")
    raise UserError(f"nothing here can confine untrusted code ({why}); {INSTALL}")


@cache
def _try(tier: Tier, executable: str | None) -> str:
    """Why a tier does not hold; "" if it does."""
    try:
        python = interpreter(executable)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"the interpreter cannot be run: {error}"
    try:
        return _attack(tier, python)
    except (OSError, EngineError) as error:
        return str(error)


def _attack(tier: Tier, python: Interpreter) -> str:
    pool = Pool(tier, python, 1)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        secret = Path(folder) / "secret"
        secret.write_text("secret", encoding="ascii")
        arguments = [str(secret), folder, listening.getsockname()[1], os.getpid()]
        calls = f'[{{"a":[{",".join(encode(each) for each in arguments)}]}}]'.encode()
        once = _Once(Job("call", _TRIAL, entry="trial", calls=calls, limits=_LIMITS))
        try:
            pool.run([once])
        finally:
            pool.close()
    if once.reply is None or not once.reply.report.endswith(b"\n"):
        return f"a job fails: {once.reply.why if once.reply else 'no reply'}"
    try:
        done = decode(once.reply.report.splitlines()[0])
        broken = [name for name, worked in done.items() if worked != (name == "compute")]
    except (ValueError, TypeError, AttributeError):
        return f"a job fails: {once.reply.report[:200].decode('ascii', 'replace')}"
    return f"it lets code {', '.join(broken)}" if broken else ""


class _Once:
    """A check of one job."""

    def __init__(self, job: Job) -> None:
        self._job: Job | None = job
        self.reply: Reply | None = None

    def next(self) -> Job | None:
        return self._job

    def take(self, reply: Reply) -> None:
        self._job, self.reply = None, reply
