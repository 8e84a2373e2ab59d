"""Every launcher's variables, recognised."""

from __future__ import annotations

import socket

import pytest

from steerctl.engine.environment import RankEnvironment, check_ranks, current_rank, first_host, free_port
from steerctl.errors import UserError

TORCH = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "n0", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_ID": "4711",
    "SLURM_NODELIST": "gpu[003-006],cpu1",
}


@pytest.mark.parametrize(
    ("more", "launcher"),
    [({"TORCHELASTIC_RUN_ID": "x"}, "torchrun"), ({}, "deepspeed"), ({"STEERCTL_LAUNCHED": "1"}, "steerctl")],
)
def test_torch_variables(more: dict[str, str], launcher: str) -> None:
    assert current_rank(TORCH | more) == RankEnvironment(launcher, 3, 8, 1, "n0", 29500)


def test_slurm_task() -> None:
    assert current_rank(SLURM) == RankEnvironment("slurm", 5, 8, 1, "gpu003", 15000 + 4711)
    found = current_rank(SLURM | {"SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7", "MASTER_PORT": "1234"})
    assert (found.master_address, found.master_port) == ("10.0.0.7", 1234)


def test_nobody_launched_this() -> None:
    assert current_rank({}) is None
    # An sbatch script, and an srun of a single task, launch their own ranks.
    assert current_rank({key: value for key, value in SLURM.items() if key != "SLURM_STEP_ID"}) is None
    assert current_rank(SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize("broken", [{"MASTER_PORT": "many"}, {"RANK": ""}])
def test_broken_variables_are_one_line(broken: dict[str, str]) -> None:
    with pytest.raises(UserError, match="the launcher's environment is incomplete"):
        current_rank(TORCH | broken)


def test_a_launcher_that_disagrees_with_the_spec_is_refused() -> None:
    environment = RankEnvironment("torchrun", 0, 4, 0, "n0", 1)
    check_ranks(environment, 4)
    with pytest.raises(UserError, match=r"torchrun started 4 processes but engine.ranks is 2; set engine.ranks=4"):
        check_ranks(environment, 2)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("gpu[003-006,9],cpu1", "gpu003"), ("a,b", "a"), ("n[1,2]-ib", "n1-ib"), ("login", "login")],
)
def test_first_host(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


def test_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        port = free_port()
        probe.bind(("127.0.0.1", port))
        assert probe.getsockname() == ("127.0.0.1", port)
