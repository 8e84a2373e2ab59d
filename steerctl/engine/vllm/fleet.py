"""The servers of a run: started, watched, restarted, given new weights. Lives on rank 0."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Literal

from steerctl.engine.vllm.command import ServerSettings
from steerctl.engine.vllm.endpoint import Endpoint, State, publish
from steerctl.engine.vllm.server import Server
from steerctl.engine.vllm.update import hold, release
from steerctl.engine.vllm.versions import check_version
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError, SteerctlError

WATCH_SECONDS = 0.2
PORT_TRIES = 3
"""A free port can be taken by somebody else before the server has it."""


class _Kept:
    """A server of ours with what the fleet knows of it."""

    def __init__(self, server: Server, state_file: Path) -> None:
        self.server, self.state_file = server, state_file
        self.incarnation, self.restarts, self.port_tries = 0, 0, 0
        self.phase: Literal["starting", "ready", "failed"] = "starting"

    def launch(self, folder: Path) -> None:
        self.incarnation += 1
        self.server.launch(folder)
        self.become("starting")

    def become(self, phase: Literal["starting", "ready", "failed"], text: str = "") -> None:
        self.phase = phase
        publish(self.state_file, State(self.incarnation, self.server.pid, self.server.url, phase, text))


class Fleet:
    """`settings.spec.servers` servers of ours. A thread restarts those that end; ask `endpoints` for answers.

    restarts  processes that had to be replaced, over the whole run
    """

    def __init__(self, settings: ServerSettings, room: Path, logs: Path) -> None:
        self._settings, self._spec = settings, settings.spec
        self._kept = [
            _Kept(Server(settings, index, logs / f"server-{index}.log", room), room / f"server-{index}.json")
            for index in range(self._spec.servers)
        ]
        self.endpoints = tuple(
            Endpoint(f"vLLM server {index}", settings.api_key, "", kept.state_file)
            for index, kept in enumerate(self._kept)
        )
        self.restarts = 0
        self._folder, self._version = room, -1
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._watcher: threading.Thread | None = None

    def serve(self, folder: Path, version: int) -> None:
        """Give every server the weights in `folder`; returns when all of them answer with these.

        A server that does not run, or does not take them, is started anew from `folder`: none is left with old weights
        or with a mixture.

        Raises:
            EngineError: a server failed for good; the text is its own.
        """
        with self._lock:
            self._folder, self._version = folder, version
            for kept in self._kept:
                kept.restarts = 0
                if not (kept.phase == "ready" and kept.server.alive() and self._reloaded(kept.server)):
                    kept.launch(folder)
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="vllm-watch", daemon=True)
            self._watcher.start()
        for endpoint in self.endpoints:
            endpoint.await_ready(self._spec.startup_timeout * (1 + self._spec.max_restarts))

    def close(self) -> None:
        """Stop watching and end every server; may be called twice."""
        self._closed.set()
        if self._watcher is not None:
            self._watcher.join()
        for kept in self._kept:
            kept.server.stop()

    def _reloaded(self, server: Server) -> bool:
        """Whether a running server took over the weights."""
        try:
            may_sleep = self._spec.colocate == "sleep"
            push(server.connection(self._spec.request_timeout), self._folder, self._version, may_sleep=may_sleep)
        except (Lost, EngineError):
            self.restarts += 1
            return False
        return True

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_SECONDS):
            with self._lock:
                for kept in self._kept:
                    self._look_after(kept)

    def _look_after(self, kept: _Kept) -> None:
        server = kept.server
        if kept.phase == "starting" and not server.alive():
            self._mourn(kept)
        elif kept.phase == "starting" and server.answers():
            self._welcome(kept)
        elif kept.phase == "starting" and time.monotonic() - server.started > self._spec.startup_timeout:
            server.kill()
            kept.become("failed", f"{self._name(kept)} was not ready within {self._spec.startup_timeout:g} s: "
                        f"{server.failure()}")  # fmt: skip
        elif kept.phase == "ready" and not server.alive():
            self.restarts += 1
            kept.restarts += 1
            if kept.restarts <= self._spec.restarts:
                kept.launch(self._folder)
            else:
                kept.become("failed", f"{self._name(kept)} ended {kept.restarts} times since the last push of weights: "
                            f"{server.failure()}")  # fmt: skip

    def _mourn(self, kept: _Kept) -> None:
        """It ended before it was ready: another port, or the end."""
        if kept.server.port_was_taken() and kept.port_tries < PORT_TRIES:
            kept.port_tries += 1
            kept.launch(self._folder)
        else:
            kept.become("failed", f"{self._name(kept)} did not start: {kept.server.failure()}")

    def _welcome(self, kept: _Kept) -> None:
        """It is up, with the weights of `self._folder`."""
        connection = kept.server.connection(self._spec.request_timeout)
        try:
            version = connection.call("GET", "/version")["version"]
            check_version(version, self._name(kept), any_version=self._spec.any_version)
            connection.call("POST", "/update_weight_version", {"new_version": str(self._version)})
        except Lost:
            return  # the next look finds it dead, or answering
        except SteerctlError as error:
            kept.server.kill()
            kept.become("failed", str(error))
            return
        kept.port_tries = 0
        kept.become("ready")

    @staticmethod
    def _name(kept: _Kept) -> str:
        return f"vLLM server {kept.server.index}"


def push(connection: Connection, folder: Path, version: int, *, may_sleep: bool = False) -> None:
    """Let a running server take over the weights in `folder`; the order is that of update.py.

    Raises:
        Lost: it did not answer, or failed at it: it may hold a mixture and must not be asked again.
        EngineError: it refused, or keeps old keys and values.
    """
    asleep = hold(connection, may_sleep=may_sleep)
    reload = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
    connection.call("POST", "/collective_rpc", reload)
    release(connection, version, asleep=asleep)
