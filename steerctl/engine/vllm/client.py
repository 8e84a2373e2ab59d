"""Many completions in flight over several servers; what a lost server leaves undone is asked again.

Every response has its own seed, so it does not matter which server gives it, nor at which attempt.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from steerctl.engine.vllm.endpoint import Endpoint, State
from steerctl.engine.vllm.wire import Connection, Hung, Lost
from steerctl.errors import EngineError

PAUSE_SECONDS = 0.25
"""Between two attempts at a server that did not answer."""
STRIKES = 20
"""Failed attempts in a row, by one thread at one process, after which that process is ended."""

Body = dict[str, Any]
"""One request to /v1/completions."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: for one answer, for a server to come back (seconds); and how many answers at a time."""

    request: float
    restart: float
    in_flight: int


def complete(
    endpoints: Sequence[Endpoint],
    bodies: Sequence[Body],
    patience: Patience,
    *,
    version: int,
    on_answer: Callable[[Any], None] = lambda _answer: None,
) -> list[Any]:
    """The answer to every body, in order. `on_answer` is called in this thread, as they come.

    Raises:
        EngineError: a server refuses, or has failed for good, or has other weights than `version`.
    """
    batch = _Batch(bodies, patience, version)
    each = min(patience.in_flight, -(-len(bodies) // len(endpoints))) if bodies else 0
    threads = [
        threading.Thread(target=batch.work, args=(endpoint,), daemon=True)
        for endpoint in endpoints
        for _ in range(each)
    ]
    for thread in threads:
        thread.start()
    answers: list[Any] = [None] * len(bodies)
    try:
        for _ in bodies:
            index, answer = batch.next_answer()
            answers[index] = answer
            on_answer(answer)
    finally:
        batch.stop()
    return answers


class _Batch:
    """The bodies not yet asked, the answers not yet taken, and the threads' common end."""

    def __init__(self, bodies: Sequence[Body], patience: Patience, version: int) -> None:
        self._bodies, self._patience, self._version = bodies, patience, version
        self._left = deque(range(len(bodies)))
        self._answers: queue.SimpleQueue[tuple[int, Any] | Exception] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._open: set[Connection] = set()

    def next_answer(self) -> tuple[int, Any]:
        """Waits for it. Raises what a thread found."""
        found = self._answers.get()
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self) -> None:
        """Let the threads end, and the servers see that nobody waits."""
        self._stopped.set()
        self._left.clear()
        for connection in list(self._open):
            connection.close()

    def work(self, endpoint: Endpoint) -> None:
        """One thread: one request after the other to one server, until none is left."""
        try:
            self._work(endpoint)
        except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
            if not self._stopped.is_set():
                self._answers.put(error)

    def _work(self, endpoint: Endpoint) -> None:
        connection, strikes, last = None, 0, 0
        while self._left:
            state = endpoint.await_ready(self._patience.restart, self._stopped.is_set)
            if state.incarnation != last:
                strikes, last = 0, state.incarnation
            connection = self._connected(connection, state, endpoint.key)
            index = self._take()
            if index is None:
                break
            try:
                answer = connection.call("POST", "/v1/completions", {"model": endpoint.model, **self._bodies[index]})
            except Lost as lost:
                self._left.append(index)
                strikes += 1
                self._after(lost, endpoint, state, strikes)
                continue
            strikes = 0
            self._answers.put((index, answer))
        if connection is not None:
            self._open.discard(connection)
            connection.close()

    def _take(self) -> int | None:
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def _connected(self, connection: Connection | None, state: State, key: str) -> Connection:
        if connection is not None and connection.url == state.url:
            return connection
        if connection is not None:
            self._open.discard(connection)
        fresh = Connection(state.url, key, self._patience.request)
        self._open.add(fresh)
        return fresh

    def _after(self, lost: Lost, endpoint: Endpoint, state: State, strikes: int) -> None:
        """Wait a little, or end a process that hangs or does nothing but fail."""
        if self._stopped.is_set():
            return
        if endpoint.state is None:
            self._after_foreign(lost, endpoint, strikes)
        elif isinstance(lost, Hung) or strikes >= STRIKES:
            endpoint.end(state)
        time.sleep(PAUSE_SECONDS)

    def _after_foreign(self, lost: Lost, endpoint: Endpoint, strikes: int) -> None:
        """A server that is not ours may come back, but if it was restarted it has lost the weights."""
        if isinstance(lost, Hung) or strikes >= STRIKES:
            raise EngineError(f"{endpoint.url}: the vLLM server fails and is not ours to restart: {lost}") from lost
        found = endpoint.weight_version(self._patience.request)
        if found not in ("", str(self._version)):
            raise EngineError(
                f"{endpoint.url}: was restarted and has lost the weights (version {found}, not {self._version})"
            )
