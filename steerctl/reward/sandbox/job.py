"""What is sent into the sandbox and what comes back."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any, Literal

Ended = Literal["exit", "timeout", "oom", "crash", "flood", "infra_error"]
Mode = Literal["call", "stdin", "assert"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fork.

    cpu_seconds   of processor time, exact to about 0.1 s
    wall_seconds  of waiting, generous: it is for sleepers, a busy machine must not cost a right answer
    memory_mib    address space, the interpreter's own 60 MiB included
    output_bytes  of what is reported and of what is printed, each
    """

    cpu_seconds: float = 10.0
    wall_seconds: float = 40.0
    memory_mib: int = 1024
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One fork's work (inside/candidate.py).

    setup  trusted code run first in the same namespace (imports, helper classes)
    calls  encoded calls, or the text of assertions
    longest  characters of one reported value, where anything longer is not wanted; 0: any
    stdin  what descriptor 0 yields; None: nothing, and what is printed is thrown away
    """

    mode: Mode
    code: str
    setup: str = ""
    entry: str = ""
    calls: bytes = b""
    nonce: str = ""
    longest: int = 0
    stdin: bytes | None = None
    limits: Limits = Limits()

    def frames(self) -> tuple[bytes, bytes, bytes]:
        """Limits, job, input."""
        limits = {
            "cpu": self.limits.cpu_seconds,
            "wall": self.limits.wall_seconds,
            "memory": self.limits.memory_mib,
            "output": self.limits.output_bytes,
            "stdin": self.stdin is not None,
        }
        head = {
            "mode": self.mode, "setup": self.setup, "code": self.code, "entry": self.entry, "nonce": self.nonce,
            "longest": self.longest,
        }  # fmt: skip
        return json.dumps(limits).encode(), json.dumps(head).encode() + b"\n" + self.calls, self.stdin or b""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a fork ended, what it reported and printed; all of it text from an untrusted process."""

    ended: Ended
    why: str
    report: bytes = b""
    output: bytes = b""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    exit_code: int | None = None


def reply(frames: tuple[bytes, bytes, bytes], limits: Limits) -> Reply:
    """A server's three frames, read."""
    said = json.loads(frames[0])
    ended, why = _ending(said, limits)
    return Reply(ended, why, frames[1], frames[2], said["cpu"], said["wall"], said["code"])


def _ending(said: dict[str, Any], limits: Limits) -> tuple[Ended, str]:
    watched: dict[str, tuple[Ended, str]] = {
        "wall": ("timeout", f"still running after {limits.wall_seconds:g} s"),
        "cpu": ("timeout", f"used {limits.cpu_seconds:g} s of processor time"),
        "flood": ("flood", f"wrote more than {limits.output_bytes} bytes"),
        "threads": ("crash", "started too many threads"),
        "abandoned": ("infra_error", "abandoned"),
    }
    number = said["signal"]
    if said["ended"] in watched:
        return watched[said["ended"]]
    if number is None:
        return "exit", f"exit status {said['code']}"
    if number == signal.SIGKILL:
        return "oom", "killed by the kernel"
    return "crash", f"ended by {signal.Signals(number).name}"
