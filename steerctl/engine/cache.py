"""A key-value cache of fixed size, written in place: growing one by concatenation copies all of it at every token."""

from __future__ import annotations

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class FixedLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers carries no types
    """Keys and values [B, heads, capacity, head_dim] of one layer, filled from the left."""

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.filled = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate on the first update, in the shape and type of its states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = self._empty(key_states)
        self.values = self._empty(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append the new states; returns everything so far, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        self.keys[:, :, start : self.filled] = key_states
        self.values[:, :, start : self.filled] = value_states
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def select(self, rows: Tensor) -> None:
        """Keep (or repeat) the given rows of the batch."""
        fresh_keys, fresh_values = self._empty(self.keys, len(rows)), self._empty(self.values, len(rows))
        fresh_keys[:, :, : self.filled] = self.keys[rows, :, : self.filled]
        fresh_values[:, :, : self.filled] = self.values[rows, :, : self.filled]
        self.keys, self.values = fresh_keys, fresh_values

    def get_seq_length(self) -> int:
        """Tokens stored."""
        return self.filled

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length of keys a query of this length meets, and the offset of the first."""
        return self.filled + query_length, 0

    def get_max_length(self) -> int:
        """Tokens that fit."""
        return self.capacity

    def _empty(self, like: Tensor, rows: int | None = None) -> Tensor:
        batch, heads, _, dim = like.shape
        return like.new_empty((batch if rows is None else rows, heads, self.capacity, dim))


class FixedCache(Cache):  # type: ignore[misc]  # transformers carries no types
    """One `FixedLayer` per layer of the model."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[FixedLayer(capacity) for _ in range(layers)])

    def select(self, rows: Tensor) -> None:
        """Keep (or repeat) the given rows of the batch in every layer."""
        for layer in self.layers:
            layer.select(rows)
