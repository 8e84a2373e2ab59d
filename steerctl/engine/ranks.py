"""The processes that train together: joining them, and the collectives over Python objects."""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, Literal, NoReturn

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, TCPStore

from steerctl.engine.environment import LAUNCHED, LOOPBACK
from steerctl.engine.outcome import ENDED
from steerctl.errors import EngineError, UserError

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others in a collective before it gives up."""

_TRANSPORT = re.compile(r"gloo/|NCCL|c10d|TCPStore|ProcessGroup|Connection closed by peer")
"""What the messages of a broken collective have in common; DeepSpeed passes torch's on."""

Device = Literal["cpu", "cuda"]


class RankLostError(EngineError):
    """Another rank has ended, so that this one cannot go on; the reason is what that one said, if it could."""


def resolve_device(wish: Literal["auto", "cpu", "cuda"]) -> Device:
    """The device type to train on.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("engine.device is cuda but torch sees no CUDA device; use engine.device=cpu or auto")
    return wish


def join(device: Device) -> None:
    """Join the process group that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT describe; once per process.

    torch.distributed is started here, not by DeepSpeed: DeepSpeed binds the default NCCL group to a device, after which
    creating further groups can hang. One process alone needs no network: its store is in memory.

    Raises:
        RankLostError: the other ranks cannot be reached.
    """
    if dist.is_initialized():
        return
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    backend = "nccl" if device == "cuda" else "gloo"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        if world_size == 1:
            dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        elif LAUNCHED in os.environ and os.environ.get("MASTER_ADDR") == LOOPBACK:
            rank = int(os.environ["RANK"])
            store = _private_store(int(os.environ["MASTER_PORT"]), rank, world_size)
            dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
        else:
            dist.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RankLostError(f"rank {os.environ.get('RANK')} cannot reach the others at {where}: {error}") from error


def _private_store(port: int, rank: int, world_size: int) -> TCPStore:
    """Where ranks on one machine meet. Left to itself torch listens on every interface, and asks nobody who he is."""
    listening = None
    if rank == 0:
        listening = socket.create_server((LOOPBACK, port), backlog=world_size).detach()  # the store closes it
    return TCPStore(LOOPBACK, port, world_size, is_master=rank == 0, timeout=TIMEOUT, master_listen_fd=listening)


def end_rank(code: int) -> NoReturn:
    """End a rank that has nothing more to say, without taking the interpreter apart.

    A thread of gloo may still hold the last collective's tensors. If it frees them while Python is being finalised,
    the interpreter unwinds it, C++ does not allow that, and the process aborts after all work was done.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 (what os._exit leaves out and somebody registered for)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


@contextmanager
def together(*, listen: bool) -> Iterator[None]:
    """Work that ends when another rank ends: a broken collective, or the launcher's word, becomes RankLostError.

    listen: for the launcher's word, which reaches a rank that is not in a collective, but sampling for minutes;
        afterwards it is ignored, so that the end is orderly.
    """

    def lost(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature signal asks for)
        raise RankLostError("another rank ended")

    if listen:
        signal.signal(ENDED, lost)
    try:
        yield
    except RankLostError:
        raise
    except (RuntimeError, EngineError) as error:
        # A push of weights reports its collective's failure as an EngineError; other engine errors may quote a log.
        signs = "gloo/" if isinstance(error, EngineError) else _TRANSPORT
        if not (isinstance(error, dist.DistError) or re.search(signs, str(error))):
            raise
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise RankLostError(f"another rank ended, or the connection to it was lost ({said})") from error
    finally:
        if listen:
            signal.signal(ENDED, signal.SIG_IGN)


class TorchRanks:
    """`protocols.Ranks` over torch.distributed; objects travel over gloo, never through the GPU."""

    def __init__(self, device: Device) -> None:
        join(device)
        self._group = None if device == "cpu" else dist.new_group(backend="gloo", timeout=TIMEOUT)

    @property
    def rank(self) -> int:
        """This process, 0 to world_size - 1."""
        return dist.get_rank()

    @property
    def world_size(self) -> int:
        """How many processes."""
        return dist.get_world_size()

    def all_gather(self, value: Any) -> list[Any]:  # noqa: ANN401 (any picklable value)
        """The value of every rank, in rank order, on every rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.world_size > 1:
            dist.barrier(group=self._group)
