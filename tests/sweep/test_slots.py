"""Cores and GPUs shared out among cells."""

from __future__ import annotations

import pytest

from steerctl.errors import SpecError
from steerctl.spec.load import spec_from
from steerctl.spec.machine import Machine
from steerctl.sweep.slots import share_out
from tests.sweep.sweeps import BASE


def spec(**engine):
    return spec_from({**BASE, "engine": engine}, "test").spec


def machine(cores=8, gpus=0):
    return Machine(cores, gpus, cpu_bfloat16=False, wandb_login=False)


def test_cores_by_ranks_and_threads():
    specs = [spec(device="cpu"), spec(device="cpu", ranks=2, threads_per_rank=2)]
    assert share_out(specs, machine(), None, {}).devices == ((), ())
    asked = share_out(specs, machine(), 3, {})
    assert (len(asked.devices), asked.note) == (3, "12 busy threads on 8 cores: slower than fewer workers")
    assert len(share_out(specs, machine(cores=1), None, {}).devices) == 1


def test_gpus_by_ranks_and_of_those_that_are_visible():
    assert share_out([spec(ranks=2)], machine(gpus=4), None, {}).devices == (("0", "1"), ("2", "3"))
    visible = {"CUDA_VISIBLE_DEVICES": "5,7"}
    assert share_out([spec()], machine(gpus=2), None, visible).devices == (("5",), ("7",))
    shared = share_out([spec()], machine(gpus=2), 3, {})
    assert shared.devices == (("0",), ("1",), ("0",))
    assert "share a GPU" in shared.note
    with pytest.raises(SpecError, match="needs 3 GPUs, there are 2"):
        share_out([spec(ranks=3)], machine(gpus=2), None, {})
