"""What the loop around the step says of the machine; the loop itself: test_resume.py, test_interrupt.py and others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from steerctl.metrics.catalogue import is_timing
from steerctl.run.train import device_memory


@dataclass
class Place:
    """Where a policy is, and what another rank says of its own memory."""

    device: torch.device
    other: int = 0

    def all_gather(self, value):
        return [value, self.other]


def test_a_cpu_has_no_device_memory():
    assert device_memory(Place(torch.device("cpu"))) == {}
    assert is_timing("memory/device/bytes")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="is about memory of a GPU, and torch sees none")
def test_the_peak_on_a_gpu_is_that_since_the_last_call():
    place = Place(torch.device("cuda", torch.cuda.current_device()))
    device_memory(place)
    held = torch.zeros(2**24, dtype=torch.uint8, device=place.device)
    first = device_memory(place)["memory/device/bytes"]
    assert first >= held.numel()
    del held
    device_memory(place)
    assert device_memory(place)["memory/device/bytes"] <= first - 2**24
    place.other = 2**60
    assert device_memory(place) == {"memory/device/bytes": float(2**60)}
