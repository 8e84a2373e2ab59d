"""Parameters packed into buckets of bytes: what travels at once, and never more than one of them beside the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from steerctl.engine.vllm.weights import Tie

BUCKET_BYTES = 2**28
"""Capacity of a bucket; a larger single parameter has one of its own."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whole parameters of one type, one behind the other.

    names, shapes  of the parameters, e.g. ("lm_head.weight",), ((151936, 896),)
    sizes          bytes of each
    dtype          of all of them, as vLLM writes it, e.g. "bfloat16"
    buffer         uint8, at least sum(sizes) long, the same object in every bucket that fits into it; None where this
                   rank keeps no bytes
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    dtype: str
    buffer: Tensor | None

    @property
    def num_bytes(self) -> int:
        """Bytes in use."""
        return sum(self.sizes)

    @property
    def data(self) -> Tensor:
        """The bytes in use. Raises RuntimeError where there are none."""
        if self.buffer is None:
            raise RuntimeError("this rank keeps no bytes")
        return self.buffer[: self.num_bytes]

    @property
    def announcement(self) -> dict[str, list[object]]:
        """What vLLM's /update_weights wants to know of the parameters."""
        return {
            "names": list(self.names),
            "dtype_names": [self.dtype] * len(self.names),
            "shapes": [list(shape) for shape in self.shapes],
        }


def buckets(weights: Iterable[tuple[str, Tensor]], limit: int = BUCKET_BYTES, *, keep: bool) -> Iterator[Bucket]:
    """The weights in order, cut where a bucket is full or the type changes; the cuts depend on sizes alone.

    One type per bucket, because vLLM reads each parameter as a view of the bytes and a view must be aligned. A bucket
    is valid until the next one is asked for.

    keep: copy the bytes; False: this rank only takes part in gathering them.
    """
    filling = _Filling(limit, keep=keep)
    for name, value in weights:
        if not filling.takes(value):
            yield filling.bucket()
        filling.add(name, value)
    if filling.names:
        yield filling.bucket()


def untied(weights: Iterable[tuple[str, Tensor]], tie: Tie | None) -> Iterator[tuple[str, Tensor]]:
    """The weights, and a tied head under its own name behind its embedding."""
    for name, value in weights:
        yield name, value
        if tie is not None and name == tie.embedding:
            yield tie.head, value


@dataclass(slots=True)
class _Filling:
    """The bucket that is being filled."""

    limit: int
    keep: bool = field(kw_only=True)
    names: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    dtype: torch.dtype | None = None
    shared: Tensor | None = None
    own: Tensor | None = None
    """Of a parameter that is larger than the limit."""

    def takes(self, value: Tensor) -> bool:
        fits = sum(self.sizes) + _bytes(value) <= self.limit
        return not self.names or (fits and value.dtype == self.dtype)

    def add(self, name: str, value: Tensor) -> None:
        start, size = sum(self.sizes), _bytes(value)
        if self.keep:
            target = self._target(value, size)
            target[start : start + size].copy_(value.detach().contiguous().view(-1).view(torch.uint8))
        self.names.append(name)
        self.shapes.append(tuple(value.shape))
        self.sizes.append(size)
        self.dtype = value.dtype

    def bucket(self) -> Bucket:
        """What has been filled; the next parameter begins a new one."""
        buffer = self.own if self.own is not None else self.shared
        kind = str(self.dtype).removeprefix("torch.")
        found = Bucket(tuple(self.names), tuple(self.shapes), tuple(self.sizes), kind, buffer if self.keep else None)
        self.names, self.shapes, self.sizes, self.own = [], [], [], None
        return found

    def _target(self, value: Tensor, size: int) -> Tensor:
        if size > self.limit:
            self.own = torch.empty(size, dtype=torch.uint8, device=value.device)
            return self.own
        if self.shared is None:
            self.shared = torch.empty(self.limit, dtype=torch.uint8, device=value.device)
        return self.shared


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()
