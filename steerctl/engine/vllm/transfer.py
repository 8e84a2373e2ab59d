"""New weights from memory to memory, bucket by bucket, through vLLM's weight-transfer calls. Collective."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from steerctl.engine.vllm.buckets import BUCKET_BYTES, Bucket, buckets, untied
from steerctl.engine.vllm.endpoint import Endpoint
from steerctl.engine.vllm.planes import IpcPlane, NcclPlane, Plane
from steerctl.engine.vllm.update import hold, release
from steerctl.engine.vllm.weights import Tie
from steerctl.engine.vllm.wire import Connection, Lost
from steerctl.errors import EngineError, SteerctlError
from steerctl.protocols import Ranks
from steerctl.spec.generator import VllmGenerator

LOOK_SECONDS = 0.05


class DirectPush:
    """Gives running servers new weights without a file. After a failure servers may hold a mixture: the run must stop.

    What a server is told, in order: once /init_weight_transfer_engine; then for every push /pause,
    /start_weight_update, /update_weights for each bucket, /finish_weight_update, /update_weight_version,
    /reset_prefix_cache, /resume (update.py).
    """

    def __init__(
        self, plane: Plane, ranks: Ranks, *, timeout: float, may_sleep: bool = False, limit: int = BUCKET_BYTES
    ) -> None:
        self._plane, self._ranks, self._timeout = plane, ranks, timeout
        self._may_sleep, self._limit = may_sleep, limit
        self._connections: list[Connection] = []
        self._asleep: list[bool] = []
        self._joined = False

    def push(
        self, endpoints: Sequence[Endpoint], weights: Iterable[tuple[str, Tensor]], version: int, tie: Tie | None = None
    ) -> None:
        """Exhaust the weights into every server.

        Raises:
            EngineError: on every rank alike.
        """
        failure = self._agreed(lambda: self._begin(endpoints))
        keep = self._plane.on_every_rank or self._ranks.rank == 0
        try:
            for bucket in buckets(untied(weights, tie), self._limit, keep=keep):
                failure = failure or self._sent(bucket)
        except Exception as error:  # noqa: BLE001 (the trainer's own failure, in gathering)
            failure = EngineError(f"the push of the weights was broken off: {str(error) or type(error).__name__}")
        failure = failure or self._agreed(lambda: self._end(version))
        self._plane.done()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Part from the servers; may be called twice."""
        self._plane.close()

    def _begin(self, endpoints: Sequence[Endpoint]) -> None:
        self._connections = [Connection(each.look().url, each.key, self._timeout) for each in endpoints]
        if not self._joined:
            bodies = [{"init_info": self._plane.invitation(index)} for index in range(len(endpoints))]
            calls = Calls(self._connections, "/init_weight_transfer_engine", bodies)
            self._plane.open()
            calls.wait()
            self._joined = True
        self._asleep = [hold(connection, may_sleep=self._may_sleep) for connection in self._connections]
        Calls(self._connections, "/start_weight_update").wait()

    def _sent(self, bucket: Bucket) -> SteerctlError | None:
        """Send one bucket; returns what went wrong, on every rank."""
        offers = self._offers(bucket) if self._plane.on_every_rank else []

        def lead() -> None:
            for offer in offers:
                if isinstance(offer, SteerctlError):
                    raise offer
            body = {"update_info": self._plane.announcement(bucket, offers)}
            calls = Calls(self._connections, "/update_weights", [body] * len(self._connections))
            self._plane.transmit(bucket, calls.failed)
            calls.wait()

        return self._agreed(lead)

    def _offers(self, bucket: Bucket) -> list[Any]:
        try:
            own = self._plane.offer(bucket)
        except RuntimeError as error:
            own = EngineError(f"rank {self._ranks.rank} cannot share its weights: {error}")
        return self._ranks.all_gather(own)

    def _end(self, version: int) -> None:
        Calls(self._connections, "/finish_weight_update").wait()
        for connection, asleep in zip(self._connections, self._asleep, strict=True):
            release(connection, version, asleep=asleep)

    def _agreed(self, lead: Callable[[], None]) -> SteerctlError | None:
        """Let rank 0 do it; what went wrong there, on every rank."""
        failure: SteerctlError | None = None
        if self._ranks.rank == 0:
            try:
                lead()
            except SteerctlError as error:
                failure = error
            except Lost as lost:
                failure = EngineError(f"a vLLM server was lost while its weights were replaced: {lost}")
            except (RuntimeError, ImportError) as error:
                failure = EngineError(f"the weights cannot be sent to the vLLM servers: {error}")
        found: SteerctlError | None = self._ranks.all_gather(failure)[0]
        return found


class Calls:
    """The same call to several servers at once, under way in threads: the servers answer when all have the bytes."""

    def __init__(self, connections: Sequence[Connection], path: str, bodies: Sequence[object] | None = None) -> None:
        self._path, self._failures = path, list[EngineError]()
        pairs = zip(connections, bodies or [None] * len(connections), strict=True)
        self._threads = [threading.Thread(target=self._call, args=pair, daemon=True) for pair in pairs]
        for thread in self._threads:
            thread.start()

    def failed(self) -> bool:
        """Whether one of them has failed already."""
        return bool(self._failures)

    def wait(self) -> None:
        """Until all have answered.

        Raises:
            EngineError: one has failed; the others are not waited for, they may wait for that one themselves.
        """
        while any(thread.is_alive() for thread in self._threads) and not self._failures:
            for thread in self._threads:
                thread.join(LOOK_SECONDS)
        if self._failures:
            raise self._failures[0]

    def _call(self, connection: Connection, body: object) -> None:
        try:
            connection.call("POST", self._path, body)
        except (Lost, EngineError) as error:
            self._failures.append(EngineError(f"{connection.url}: failed at {self._path}: {error}"))


def open_direct(spec: VllmGenerator, ranks: Ranks) -> DirectPush | None:
    """The direct way that an experiment asks for; None with transport disk."""
    if spec.transport == "disk":
        return None
    plane: Plane = IpcPlane() if spec.transport == "ipc" else NcclPlane(spec.servers, spec.tensor_parallel)
    return DirectPush(plane, ranks, timeout=spec.request_timeout, may_sleep=spec.colocate == "sleep")
