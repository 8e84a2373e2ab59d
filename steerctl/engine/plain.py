"""Plain torch beside DeepSpeed in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional


@contextmanager
def plain_linear() -> Iterator[None]:
    """Torch's own `linear` inside the block, in which no partitioned weight may be used.

    ZeRO-3 replaces it, for good and for every model of the process, by one that has no forward-mode derivative.
    """
    replaced = functional.linear
    functional.linear = torch._C._nn.linear  # noqa: SLF001 (where torch itself takes it from)
    try:
        yield
    finally:
        functional.linear = replaced
