"""One process alone; several are tested in test_policy.py."""

from __future__ import annotations

import pytest
import torch

from steerctl.engine.ranks import TorchRanks, resolve_device
from steerctl.errors import UserError


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    yield TorchRanks("cpu")
    torch.distributed.destroy_process_group()


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
