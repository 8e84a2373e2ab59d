"""The fork server: one job after the other, each in a fork of this process that is bound, watched and reaped.

Frames on descriptors 0 and 1 are 4 bytes of length (big endian) and the bytes. A job is three frames: limits (JSON),
the job of candidate.py, what the program reads from descriptor 0. A reply is three: how it ended (JSON), the report,
what was printed (stdin jobs only).

The server never parses what a fork wrote, and wipes every buffer it passes on, so that no later fork finds an earlier
one's code or results in inherited memory.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any, NamedTuple

from . import candidate, landlock, seccomp

_PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "math", "numbers", "operator",
    "queue", "random", "re", "statistics", "string", "textwrap", "threading", "typing", "unicodedata",
)  # fmt: skip
_REPORT = 3
_GRACE = 0.05
_MAX_THREADS = 64
_FILES = 64
_STACK = 64 << 20
_MEBIBYTE = 1 << 20
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38


def main(settings: str) -> None:
    """Serve until descriptor 0 ends. settings: JSON {readable, listable, path, landlock, seccomp, namespaces}."""
    chosen = json.loads(settings)
    sys.path += chosen["path"]
    for name in _PRELOADED:
        __import__(name)
    sys.set_int_max_str_digits(0)
    notes = _private_namespaces() if chosen["namespaces"] else ""
    bonds = _Bonds(
        landlock.build(chosen["readable"], chosen["listable"]) if chosen["landlock"] else None,
        seccomp.build() if chosen["seccomp"] else None,
        os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC),
    )
    _drop_privileges()
    gc.collect()
    gc.freeze()
    _send(json.dumps({"ready": True, "notes": notes}).encode())
    while (header := _receive()) is not None:
        job, given = _receive(), _receive()
        if job is None or given is None:
            return
        _Run(json.loads(header), job, given, bonds).serve()
        job[:] = bytes(len(job))
        given[:] = bytes(len(given))


class _Bonds(NamedTuple):
    """What every fork is bound by: file rules, system-call filter; and a descriptor of /dev/null."""

    rules: int | None
    program: ctypes.Structure | None
    null: int


class _Run:
    """One job in one fork."""

    def __init__(self, limits: dict[str, Any], job: bytearray, given: bytearray, bonds: _Bonds) -> None:
        self.limits, self.job, (self.rules, self.program, self.null) = limits, job, bonds
        self.stdin = os.memfd_create("stdin") if limits["stdin"] else self.null
        if limits["stdin"]:
            _write(self.stdin, memoryview(given))
            os.lseek(self.stdin, 0, os.SEEK_SET)

    def serve(self) -> None:
        """Fork, watch, kill, reap, reply."""
        report, report_in = os.pipe()
        output, output_in = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._become_candidate(report_in, output_in)
        os.close(report_in)
        os.close(output_in)
        if self.stdin != self.null:
            os.close(self.stdin)
        sinks = {report: _Sink(report, self.limits["output"]), output: _Sink(output, self.limits["output"])}
        why = self._watch(pid, sinks, began + self.limits["wall"])
        os.kill(pid, signal.SIGKILL)  # not yet reaped, so the number is still its own
        _, status, used = os.wait4(pid, 0)
        ended = {
            "ended": why,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "cpu": used.ru_utime + used.ru_stime,
            "wall": time.monotonic() - began,
            "peak_kib": used.ru_maxrss,
        }
        _send(json.dumps(ended).encode())
        for sink in sinks.values():
            sink.pass_on()

    def _watch(self, pid: int, sinks: dict[int, _Sink], deadline: float) -> str:
        """exit; cpu, wall (too long); flood (wrote too much); threads (too many); abandoned (nobody waits any more)."""
        process = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(0, 0)  # only that the other end is gone
        for descriptor in sinks:
            poll.register(descriptor, select.POLLIN)
        looked = time.monotonic()
        why = ""
        while not why:
            events = dict(poll.poll(max(0.0, min(deadline - time.monotonic(), _GRACE)) * 1000))
            for descriptor in sinks.keys() & events.keys():
                if not sinks[descriptor].take():
                    poll.unregister(descriptor)
            if process in events:
                why = self._last_words(sinks)
            elif any(sink.full for sink in sinks.values()):
                why = "flood"
            elif 0 in events:
                why = "abandoned"
            elif time.monotonic() >= deadline:
                why = "wall"
            elif time.monotonic() - looked >= _GRACE:
                looked = time.monotonic()
                why = self._too_much(pid)
        os.close(process)
        return why

    def _too_much(self, pid: int) -> str:
        threads, seconds = _usage(pid)
        if threads > _MAX_THREADS:
            return "threads"
        return "cpu" if seconds > self.limits["cpu"] else ""

    @staticmethod
    def _last_words(sinks: dict[int, _Sink]) -> str:
        """What was still in the pipes."""
        for sink in sinks.values():
            while not sink.ended and not sink.full:
                sink.take()
        return "flood" if any(sink.full for sink in sinks.values()) else "exit"

    def _become_candidate(self, report: int, output: int) -> None:
        """Never returns."""
        status = 70
        try:
            os.setsid()
            os.dup2(report, 100)  # first out of the way: any of these may be number 3 now
            rules = None if self.rules is None else os.dup2(self.rules, 101)
            os.dup2(output if self.limits["stdin"] else self.null, 1)
            os.dup2(self.null, 2)
            os.dup2(self.stdin, 0)
            os.dup2(100, _REPORT)
            os.closerange(_REPORT + 1, 101)
            os.closerange(102, 4096)
            self._bind(rules)
            status = candidate.run(bytes(self.job), _REPORT)
        except BaseException:  # noqa: BLE001 (nothing of the server may run in the fork)
            status = 71
        finally:
            os._exit(status)

    def _bind(self, rules: int | None) -> None:
        """Limits, files, system calls: in this order, since each takes away what the one before needed."""
        # The watch ends it in time; this is for when the watch is gone.
        cpu, memory = 2 * max(1, round(self.limits["cpu"])) + 1, self.limits["memory"] * _MEBIBYTE
        for kind, limit in (
            (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, _FILES), (resource.RLIMIT_STACK, _STACK),
        ):  # fmt: skip
            hard = resource.getrlimit(kind)[1]
            bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (bound, bound))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if rules is not None:
            landlock.restrict(rules)
            os.close(rules)
        if self.program is not None:
            seccomp.install(self.program)


class _Sink:
    """What comes out of a pipe, up to a number of bytes, in memory of its own."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor, self._buffer, self._used = descriptor, mmap.mmap(-1, most + 1), 0
        self.ended = self.full = False

    def take(self) -> bool:
        """Read once; False at the end."""
        with memoryview(self._buffer) as whole, whole[self._used : self._used + (1 << 20)] as part:
            read = os.readv(self._descriptor, [part])
        self._used += read
        self.ended = read == 0
        self.full = self._used == len(self._buffer)
        return not (self.ended or self.full)

    def pass_on(self) -> None:
        """Send as a frame and give the memory back, which the kernel wipes."""
        with memoryview(self._buffer) as whole, whole[: min(self._used, len(self._buffer) - 1)] as used:
            _send(used)
        self._buffer.close()
        os.close(self._descriptor)


def _usage(pid: int) -> tuple[int, float]:
    """How many threads it has, and how much processor time it has used: exact, unlike RLIMIT_CPU's ticks."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (no pathlib in here)
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[17]), (int(fields[11]) + int(fields[12])) / _TICKS


def _drop_privileges() -> None:
    """No capability, none to be had again, and nobody of the same user may look into this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capset(ctypes.byref(header), ctypes.byref(nothing))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _private_namespaces() -> str:
    """A network, host name and shared memory of its own, where the kernel grants them without a helper program."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_net, new_ipc, new_uts = 0x10000000, 0x40000000, 0x08000000, 0x04000000
    if libc.unshare(new_user | new_net | new_ipc | new_uts) != 0:
        return f"no namespaces: {os.strerror(ctypes.get_errno())}"
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 (likewise)
                file.write(text)
    except OSError as error:
        return f"namespaces, user not mapped: {error.strerror}"
    return "user, network, ipc and host name namespaces"


def _receive() -> bytearray | None:
    """One frame, or None at the end."""
    head = _read(4)
    return None if head is None else _read(struct.unpack("!I", head)[0])


def _read(size: int) -> bytearray | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        read = os.readv(0, [view])
        if read == 0:
            return None
        view = view[read:]
    return buffer


def _send(frame: bytes | memoryview) -> None:
    _write(1, memoryview(struct.pack("!I", len(frame))))
    _write(1, memoryview(frame))


def _write(descriptor: int, data: memoryview) -> None:
    sent = 0
    while sent < len(data):
        with data[sent : sent + (1 << 20)] as part:
            sent += os.write(descriptor, part)
