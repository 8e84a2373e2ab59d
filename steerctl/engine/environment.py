"""Which rank this process is: steerctl's own launcher, torchrun, the DeepSpeed launcher or SLURM."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from steerctl.errors import UserError

LAUNCHED = "STEERCTL_LAUNCHED"
"""Set by steerctl's own launcher, so that a rank does not launch ranks."""

LOOPBACK = "127.0.0.1"
"""Where ranks that steerctl launched on one machine meet."""

Launcher = Literal["steerctl", "torchrun", "deepspeed", "slurm"]


@dataclass(frozen=True, slots=True)
class RankEnvironment:
    """A process among `world_size` that train together, e.g. rank 1 of 2, the second on its machine (local_rank 1)."""

    launcher: Launcher
    rank: int
    world_size: int
    local_rank: int
    master_address: str
    master_port: int

    def adopt(self) -> None:
        """Set the variables torch.distributed and DeepSpeed read."""
        os.environ.update(
            RANK=str(self.rank),
            WORLD_SIZE=str(self.world_size),
            LOCAL_RANK=str(self.local_rank),
            MASTER_ADDR=self.master_address,
            MASTER_PORT=str(self.master_port),
        )


def current_rank(environ: Mapping[str, str] = os.environ) -> RankEnvironment | None:
    """What the environment says this process is; None if nobody launched it as a rank.

    RANK and WORLD_SIZE come from torchrun, the DeepSpeed launcher and steerctl itself; SLURM counts inside an `srun` of
    more than one task (an `sbatch` script or an `salloc` shell has SLURM variables too, and is no rank).

    Raises:
        UserError: variables contradict each other or are not numbers.
    """
    try:
        if "RANK" in environ and "WORLD_SIZE" in environ:
            return _from_torch(environ)
        if "SLURM_PROCID" in environ and "SLURM_STEP_ID" in environ:
            return _from_slurm(environ)
    except (KeyError, ValueError) as error:
        raise UserError(f"the launcher's environment is incomplete: {error}; unset RANK, or launch again") from error
    return None


def prepare_single() -> RankEnvironment:
    """Make this process rank 0 of 1, in place."""
    single = RankEnvironment("steerctl", 0, 1, 0, "127.0.0.1", free_port())
    single.adopt()
    return single


def check_ranks(environment: RankEnvironment, ranks: int) -> None:
    """Refuse a launcher that started another number of processes than the experiment says.

    Raises:
        UserError: they differ.
    """
    if environment.world_size != ranks:
        raise UserError(
            f"{environment.launcher} started {environment.world_size} processes but engine.ranks is {ranks}; "
            f"set engine.ranks={environment.world_size}"
        )


def free_port() -> int:
    """A TCP port of this machine that nobody listens on right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def first_host(nodelist: str) -> str:
    """The first machine of a SLURM node list, e.g. "gpu[003-006,9],cpu1" -> "gpu003"."""
    match = re.match(r"([^\[,]+)(?:\[([^\]]+)\])?([^,]*)", nodelist)
    if match is None:
        raise ValueError(f"SLURM_NODELIST={nodelist!r}")
    prefix, numbers, suffix = match.groups()
    if numbers is None:
        return prefix + suffix
    return prefix + re.split(r"[,-]", numbers)[0] + suffix


def _from_torch(environ: Mapping[str, str]) -> RankEnvironment:
    launcher: Launcher = "deepspeed"
    if LAUNCHED in environ:
        launcher = "steerctl"
    elif "TORCHELASTIC_RUN_ID" in environ:
        launcher = "torchrun"
    return RankEnvironment(
        launcher=launcher,
        rank=int(environ["RANK"]),
        world_size=int(environ["WORLD_SIZE"]),
        local_rank=int(environ.get("LOCAL_RANK", "0")),
        master_address=environ["MASTER_ADDR"],
        master_port=int(environ["MASTER_PORT"]),
    )


def _from_slurm(environ: Mapping[str, str]) -> RankEnvironment | None:
    world_size = int(environ.get("SLURM_STEP_NUM_TASKS") or environ["SLURM_NTASKS"])
    if world_size == 1:
        return None
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST") or environ.get("SLURM_JOB_NODELIST")
    address = environ.get("MASTER_ADDR") or environ.get("SLURM_LAUNCH_NODE_IPADDR")
    if not address:
        address = first_host(nodes or "")
    # Every task of a job must choose the same port without talking: the job's number decides.
    port = int(environ.get("MASTER_PORT") or 15000 + int(environ.get("SLURM_JOB_ID", "0")) % 20000)
    return RankEnvironment(
        launcher="slurm",
        rank=int(environ["SLURM_PROCID"]),
        world_size=world_size,
        local_rank=int(environ["SLURM_LOCALID"]),
        master_address=address,
        master_port=port,
    )
