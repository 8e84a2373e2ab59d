"""One server process: started, looked at, stopped; and what its log says when it fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from steerctl.engine.environment import free_port
from steerctl.engine.vllm.command import ServerSettings
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError

GUARDIAN = str(Path(__file__).with_name("guardian.py"))
STOP_SECONDS = 10.0
HEALTH_SECONDS = 5.0
TAIL_BYTES = 200_000
SHOWN = 400
"""Characters of the server's own text in an error message."""
PREFIX = re.compile(r"^(\([^()]*pid=\d+\) )?((DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d [\d:.]+ (\[[^\]]*\] )?)?")
ERROR = re.compile(r"^(E   )?([\w.]+\.)?\w*(Error|Exception|Interrupt)\b.*: \S|^\S+: error: ")
ECHO = re.compile(r"See root cause above|Engine core initialization failed|EngineDeadError|Engine process failed")
"""Lines that only say that another process failed."""
PORT_TAKEN = re.compile(r"Address already in use|address already in use")


class Server:
    """Server number `index` of a run; at most one process at a time.

    url    where the newest process listens
    pid    its process group
    """

    def __init__(self, settings: ServerSettings, index: int, log: Path, room: Path) -> None:
        self.index, self.log, self._settings, self._room = index, log, settings, room
        self.url, self._log_start, self.started = "", 0, 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process group of the newest process; 0 before the first."""
        return 0 if self._process is None else self._process.pid

    def launch(self, folder: Path) -> None:
        """Start a process that serves `folder`, on a free port; an older one is killed."""
        self.kill()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-I", "-S", GUARDIAN, str(os.getpid()), str(self._room)]
        command += self._settings.command(folder, port)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                env=self._settings.environment(self.index),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._room,
                start_new_session=True,
            )
        self.started = time.monotonic()

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether it is up: the model is loaded and requests are served."""
        try:
            self.connection(HEALTH_SECONDS).call("GET", "/health")
        except (Lost, EngineError):
            return False
        return True

    def connection(self, timeout: float) -> Connection:
        """A fresh connection to it."""
        return Connection(self.url, self._settings.api_key, timeout)

    def port_was_taken(self) -> bool:
        """Whether the last process ended because somebody else had its port."""
        return PORT_TAKEN.search(self._said()) is not None

    def failure(self) -> str:
        """What the last process said that explains its end, on one line, and where to read the rest."""
        return f"{explanation(self._said())} (log: {self.log})"

    def stop(self) -> None:
        """Let it end by itself, for some seconds; then kill it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it now, with everything it started; may be called twice."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _said(self) -> str:
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - TAIL_BYTES))
                return log.read().decode("utf-8", errors="replace")
        except OSError as error:
            return f"its log cannot be read: {error}"


def explanation(said: str) -> str:
    """The line of a server's log that names the cause of its end.

    The last line of the form `SomeError: text` that is not about another process, with the line after it if the text
    goes on there (pydantic); failing that the last line of all.
    """
    lines = [PREFIX.sub("", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith("guardian: ")]
    errors = [number for number, line in enumerate(lines) if ERROR.search(line)]
    telling = [number for number in errors if not ECHO.search(lines[number])] or errors
    if not telling:
        return (lines[-1] if lines else "it said nothing")[:SHOWN]
    text = lines[telling[-1]]
    following = lines[telling[-1] + 1 : telling[-1] + 2]
    if "validation error" in text and following:
        text = f"{text}: {following[0]}"
    return text[:SHOWN]
