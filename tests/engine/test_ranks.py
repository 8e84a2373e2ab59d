"""One process alone; several are tested in test_policy.py."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from steerctl.engine.outcome import ENDED
from steerctl.engine.ranks import RankLostError, TorchRanks, resolve_device, together
from steerctl.errors import EngineError, NonFiniteError, UserError


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> TorchRanks:
    """Its group stays: DeepSpeed, once used in this process, keeps groups that end with the first one."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return TorchRanks("cpu")


def test_one_process_needs_no_network(alone: TorchRanks) -> None:
    assert (alone.rank, alone.world_size) == (0, 1)
    value = object()
    assert alone.all_gather(value) == [value]
    alone.barrier()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_device() -> None:
    assert (resolve_device("auto"), resolve_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match=r"engine.device is cuda but torch sees no CUDA device"):
        resolve_device("cuda")


GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:1: Connection reset by peer."


@pytest.mark.parametrize(
    "error", [RuntimeError(GLOO), torch.distributed.DistBackendError("x"), EngineError(f"the push broke off: {GLOO}")]
)
def test_a_broken_collective_means_that_another_rank_ended(error: Exception) -> None:
    with pytest.raises(RankLostError, match=r"^another rank ended") as raised, together(listen=False):
        raise error
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), NonFiniteError("step 4"), UserError("x"), EngineError("NCCL in a log")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, together(listen=False):
        raise error
    assert raised.value is error


def test_the_launchers_word_ends_the_work_and_is_ignored_afterwards() -> None:
    before = signal.getsignal(ENDED)
    try:
        with pytest.raises(RankLostError), together(listen=True):
            os.kill(os.getpid(), ENDED)
        os.kill(os.getpid(), ENDED)
    finally:
        signal.signal(ENDED, before)
