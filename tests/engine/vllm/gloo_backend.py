"""A weight-transfer backend for a vLLM server on the CPU: vLLM's own `nccl`, over gloo. Loaded into the server.

The server's side is vLLM's NCCLWeightTransferEngine unchanged, its cutting of announcements into broadcasts included;
only what needs a GPU is replaced: the communicator, and CUDA streams by nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist

NAME = "steerctl_gloo"


class Group:
    """As much of PyNcclCommunicator as a broadcast needs."""

    def __init__(self, address: str, port: int, rank: int, world_size: int) -> None:
        store = dist.TCPStore(address, port, world_size, is_master=rank == 0, timeout=timedelta(seconds=60))
        self._group = dist.ProcessGroupGloo(store, rank, world_size, timedelta(seconds=60))
        self.broadcasts = 0

    def broadcast(self, tensor: torch.Tensor, src: int) -> None:
        options = dist.BroadcastOptions()
        options.rootRank = src
        self._group.broadcast([tensor], options).wait()
        self.broadcasts += 1

    def destroy(self) -> None:
        self._group = None


class Stream:
    def synchronize(self) -> None:
        pass


class Extension:
    """What `--worker-extension-cls` mixes into the worker: nothing; naming it makes the worker import this module."""


def install() -> None:
    from vllm.distributed.weight_transfer import nccl_engine, packed_tensor
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.synchronize = lambda: None
    torch.cuda.stream = lambda stream: nullcontext()
    packed_tensor._get_streams = lambda device, count: tuple(Stream() for _ in range(count))
    nccl_engine.worker_init_process_group = lambda info, parallel: Group(
        info.master_address, info.master_port, info.rank_offset + parallel.rank, info.world_size
    )
    WeightTransferEngineFactory.register_engine(NAME, nccl_engine.NCCLWeightTransferEngine)


if __name__ != "__main__" and "vllm" in __import__("sys").modules:
    install()
