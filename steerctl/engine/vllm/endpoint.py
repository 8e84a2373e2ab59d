"""Where a server is and how it is doing, as every rank sees it: a small file that rank 0 keeps up to date.

A server that is restarted may come back at another port, and the ranks that are asking it must learn that, and which
process to end if it hangs. Only rank 0 starts processes; any rank may end one, which is how it asks for a restart.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from steerctl.engine.vllm.command import MODEL_NAME
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError

LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class State:
    """One moment of a server.

    incarnation  counts its processes, from 1
    pid          process group of the newest; 0 if it is not ours
    url          where that one listens
    text         what it said, if phase is "failed"
    """

    incarnation: int
    pid: int
    url: str
    phase: Literal["starting", "ready", "failed"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, for whoever asks it.

    url    of a server that is not ours; "" otherwise
    state  file with the `State` of a server of ours; None otherwise
    model  what it calls the model it serves
    """

    name: str
    key: str
    url: str
    state: Path | None
    model: str = MODEL_NAME

    def look(self) -> State:
        """How it is doing."""
        if self.state is None:
            return State(1, 0, self.url, "ready")
        try:
            return State(**json.loads(self.state.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise EngineError(f"{self.name}: its state file {self.state} is gone: {error}") from error

    def await_ready(self, patience: float, stopped: Callable[[], bool] = lambda: False) -> State:
        """Its state as soon as it is ready.

        Raises:
            EngineError: it has failed for good, or was not ready within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            state = self.look()
            if state.phase == "failed":
                raise EngineError(state.text)
            if state.phase == "ready" or stopped():
                return state
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name}: not ready again within {patience:g} s")
            time.sleep(LOOK_SECONDS)

    def end(self, seen: State) -> None:
        """Kill the process of that moment, so that rank 0 starts another; nothing happens if it is another already.

        Raises:
            EngineError: it is not ours to kill.
        """
        if self.state is None:
            raise EngineError(f"{self.url}: the server hangs or keeps failing, and is not ours to restart")
        if self.look() == seen:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(seen.pid, signal.SIGKILL)

    def weight_version(self, timeout: float) -> str:
        """The version of the weights it has, as it was told; "" if it does not answer."""
        try:
            return str(Connection(self.look().url, self.key, timeout).call("GET", "/weight_info")["weight_version"])
        except Lost:
            return ""


def publish(path: Path, state: State) -> None:
    """Write the state; a reader sees the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(state)), encoding="utf-8")
    fresh.replace(path)
