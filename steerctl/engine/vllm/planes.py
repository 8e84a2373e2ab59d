"""How the bytes of a bucket travel beside the HTTP call that announces it: vLLM's backends nccl and ipc.

Written against vLLM 0.32 (`distributed/weight_transfer/nccl_engine.py`, `ipc_engine.py`, `packed_tensor.py`); both need
GPUs and have not been run on one.

Departures from vLLM's trainer side: (1) one /update_weights call per bucket, not one for all parameters (nccl), so
that parameters are gathered from ZeRO-3 once, with no list of them beforehand; the server makes exactly one broadcast
of each announcement, because a bucket never exceeds its buffer. (2) Every bucket ends with an agreement of all ranks,
so a failure stops all of them instead of leaving some in a collective.
"""

from __future__ import annotations

import base64
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor

from steerctl.engine.environment import free_port
from steerctl.engine.vllm.buckets import BUCKET_BYTES, Bucket
from steerctl.errors import EngineError

LOOK_SECONDS = 0.002
LOOPBACK = "127.0.0.1"
CUDA: Any = torch.cuda
"""Parts of it carry no types."""


class Plane(Protocol):
    """A way for bytes, on the side of the trainer.

    on_every_rank  every rank keeps the bytes and offers them; otherwise rank 0 alone
    """

    on_every_rank: bool

    def invitation(self, server: int) -> dict[str, object]:
        """`init_info` for server number `server`."""

    def open(self) -> None:
        """Meet the servers, which are being invited at this moment; rank 0."""

    def offer(self, bucket: Bucket) -> object:
        """What the servers need from this rank to read the bucket; picklable. On every rank, if `on_every_rank`."""

    def announcement(self, bucket: Bucket, offers: Sequence[Any]) -> dict[str, object]:
        """`update_info` of the bucket, from all ranks' offers; rank 0."""

    def transmit(self, bucket: Bucket, failed: Callable[[], bool]) -> None:
        """Send the bytes while the servers are receiving; rank 0. Returns early if `failed()`."""

    def done(self) -> None:
        """Every server has all weights; on every rank."""

    def close(self) -> None:
        """Part from the servers; may be called twice."""


class NcclPlane:
    """Broadcasts from rank 0 to every worker of every server, each on a GPU of its own.

    Rank 0 is rank 0 of the group, worker w of server s is rank 1 + s * tensor_parallel + w.
    """

    on_every_rank = False

    def __init__(self, servers: int, tensor_parallel: int, limit: int = BUCKET_BYTES) -> None:
        self._each, self._world, self._limit = tensor_parallel, 1 + servers * tensor_parallel, limit
        self._port = free_port()
        self._group: Any = None

    def invitation(self, server: int) -> dict[str, object]:
        """Where to meet, as which rank, and how bytes are packed."""
        return {
            "master_address": LOOPBACK,
            "master_port": self._port,
            "rank_offset": 1 + server * self._each,
            "world_size": self._world,
            "packed": True,
            "packed_buffer_size_bytes": self._limit,
            "packed_num_buffers": 2,
        }

    def open(self) -> None:
        """Raises EngineError without NCCL: vLLM's communicator would then send nothing, in silence."""
        from vllm.distributed.weight_transfer.nccl_common import trainer_init  # noqa: PLC0415 (vLLM is optional)

        self._group = trainer_init({"master_address": LOOPBACK, "master_port": self._port, "world_size": self._world})
        if not self._group.available:
            raise EngineError("rollout.generator.transport nccl: vLLM finds no NCCL library; use transport: disk")

    def offer(self, bucket: Bucket) -> object:  # noqa: ARG002 (one signature)
        """Nothing: the bytes are broadcast."""
        return None

    def announcement(self, bucket: Bucket, offers: Sequence[Any]) -> dict[str, object]:  # noqa: ARG002 (as above)
        """Names, types and shapes."""
        return dict(bucket.announcement)

    def transmit(self, bucket: Bucket, failed: Callable[[], bool]) -> None:
        """Looks at the servers while it waits: one that refused will never take part, and NCCL would wait for ever."""
        self._group.broadcast(bucket.data, src=0)
        sent = CUDA.Event()
        sent.record()
        while not sent.query() and not failed():
            time.sleep(LOOK_SECONDS)

    def done(self) -> None:
        """Nothing: each bucket was waited for."""

    def close(self) -> None:
        """Abort the communicator."""
        if self._group is not None:
            self._group.destroy()
        self._group = None


class IpcPlane:
    """The servers read the ranks' buckets where they are: each worker shares a GPU with a rank.

    A handle to GPU memory is Python objects, which vLLM takes over HTTP only pickled; the servers of this transport are
    started with VLLM_ALLOW_INSECURE_SERIALIZATION=1, and vLLM asks no API key for that call. They listen on the
    loopback interface: whoever can run code on this machine can run code in them.
    """

    on_every_rank = True

    def __init__(
        self, device: Callable[[Tensor], str] | None = None, export: Callable[[Tensor], Any] | None = None
    ) -> None:
        self._device, self._export = device or _gpu_uuid, export or _exported
        self._last: tuple[Tensor, Any] | None = None

    def invitation(self, server: int) -> dict[str, object]:  # noqa: ARG002 (one signature)
        """There is nothing to meet for."""
        return {"packed": True}

    def open(self) -> None:
        """Nothing to open."""

    def offer(self, bucket: Bucket) -> object:
        """{GPU: handle} of this rank's buffer.

        Exported anew only when the buffer changes: vLLM keeps the last one open, and torch counts one release for each
        export.
        """
        if bucket.buffer is None:
            raise RuntimeError("this rank keeps no bytes")
        if self._last is None or self._last[0] is not bucket.buffer:
            self._last = (bucket.buffer, self._export(bucket.buffer))
        if bucket.buffer.is_cuda:
            torch.cuda.current_stream().synchronize()  # the copies into it have ended
        return {self._device(bucket.buffer): self._last[1]}

    def announcement(self, bucket: Bucket, offers: Sequence[Mapping[str, Any]]) -> dict[str, object]:
        """Names, types, shapes, sizes, and the handles of all ranks by GPU."""
        handles = {device: handle for offer in offers for device, handle in offer.items()}
        pickled = base64.b64encode(pickle.dumps(handles)).decode("ascii")
        return {**bucket.announcement, "tensor_sizes": list(bucket.sizes), "ipc_handles_pickled": pickled}

    def transmit(self, bucket: Bucket, failed: Callable[[], bool]) -> None:
        """Nothing: the servers read."""

    def done(self) -> None:
        """Let the buffers go."""
        self._last = None
        if torch.cuda.is_available():
            CUDA.ipc_collect()

    def close(self) -> None:
        """Let the buffer go."""
        self._last = None


def _gpu_uuid(buffer: Tensor) -> str:
    return str(torch.cuda.get_device_properties(buffer.device).uuid)


def _exported(buffer: Tensor) -> Any:  # noqa: ANN401 (what torch passes between processes)
    reductions: Any = import_module("torch.multiprocessing.reductions")  # untyped
    return reductions.reduce_tensor(buffer)[1]
