"""One sandboxed fork server and the pipes to it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import time

from steerctl.reward.sandbox import job as jobs
from steerctl.reward.sandbox.tiers import Interpreter, Tier, command, environment

START_SECONDS = 60.0
LATE_SECONDS = 10.0
"""After a job's own limit, before the server itself counts as hung."""
MAX_RUNS = 1000
"""Then a worker is replaced, whatever it looks like."""


class Worker:
    """A process that runs one job at a time.

    until    the moment it is given up: it has not started, or its server does not answer
    running  the job it has, if any
    """

    def __init__(self, tier: Tier, python: Interpreter) -> None:
        self.process = subprocess.Popen(
            command(tier, python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd="/",
            start_new_session=True,  # an interrupt at the keyboard is for the run, which closes its workers itself
            bufsize=0,
        )
        self.ready, self.notes, self.runs = False, "", 0
        self.running: jobs.Job | None = None
        self.until = time.monotonic() + START_SECONDS
        self._received = bytearray()
        self._frames: list[bytes] = []

    @property
    def output(self) -> int:
        """File descriptor of its replies."""
        assert self.process.stdout is not None  # noqa: S101 (always piped)
        return self.process.stdout.fileno()

    @property
    def worn(self) -> bool:
        """Whether it has served its time."""
        return self.runs >= MAX_RUNS

    def give(self, job: jobs.Job) -> None:
        """Send a job to an idle worker; one that has died is noticed when its replies end."""
        self.running, self.runs = job, self.runs + 1
        self.until = time.monotonic() + job.limits.wall_seconds + LATE_SECONDS
        assert self.process.stdin is not None  # noqa: S101 (always piped)
        try:
            for frame in job.frames():
                _write(self.process.stdin.fileno(), struct.pack("!I", len(frame)) + frame)
        except BrokenPipeError:
            return

    def hear(self) -> bool:
        """Read what has arrived; False once there will be no more."""
        chunk = os.read(self.output, 1 << 20)
        self._received += chunk
        while len(self._received) >= 4:
            size = struct.unpack_from("!I", self._received)[0]
            if len(self._received) < 4 + size:
                break
            self._frames.append(bytes(self._received[4 : 4 + size]))
            del self._received[: 4 + size]
        if not self.ready and self._frames:
            self.ready, self.notes = True, json.loads(self._frames.pop(0))["notes"]
            self.until = float("inf")
        return bool(chunk)

    def reply(self) -> jobs.Reply | None:
        """The reply to the job it has, once all of it is here; then it is idle."""
        if self.running is None or len(self._frames) < 3:
            return None
        status, report, output = self._frames[:3]
        del self._frames[:3]
        found = jobs.reply((status, report, output), self.running.limits)
        self.running, self.until = None, float("inf")
        return found

    def kill(self) -> str:
        """End it and everything in it, now; the last line it had to say."""
        self.process.kill()
        assert self.process.stderr is not None  # noqa: S101 (always piped)
        last = self.process.stderr.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return last[-1][:200] if last else f"exit status {self.process.returncode}"


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
