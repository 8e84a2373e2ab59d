"""Writing many tensors as a few safetensors files, holding no more than one file's worth in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor


class ShardWriter:
    """Collects tensors and writes `<stem>-00001.safetensors`, ... of about `shard_bytes` each into a folder.

    Raises:
        OSError: from `add` and `close`, if the disk refuses.
    """

    def __init__(self, folder: Path, stem: str, shard_bytes: int) -> None:
        self._folder, self._stem, self._limit = folder, stem, shard_bytes
        self._pending: dict[str, Tensor] = {}
        self._pending_bytes = 0
        self._files: dict[str, str] = {}
        self._count = 0
        self.total_bytes = 0

    def add(self, name: str, value: Tensor) -> None:
        """Keep a copy of `value` on the CPU for the next file; writes the file when it is full."""
        size = value.numel() * value.element_size()
        if self._pending and self._pending_bytes + size > self._limit:
            self._write()
        self._pending[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        self._pending_bytes += size
        self.total_bytes += size

    def close(self) -> dict[str, str]:
        """Write what is left; returns the file of every tensor."""
        if self._pending:
            self._write()
        return dict(self._files)

    def close_as_model(self) -> None:
        """Write what is left, give the files the names transformers looks for, and an index if there are several."""
        where = self.close()
        parts = sorted(set(where.values()))
        if len(parts) == 1:
            (self._folder / parts[0]).rename(self._folder / "model.safetensors")
            return
        names = {part: f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors" for i, part in enumerate(parts)}
        for part, name in names.items():
            (self._folder / part).rename(self._folder / name)
        index = {
            "metadata": {"total_size": self.total_bytes},
            "weight_map": {parameter: names[part] for parameter, part in where.items()},
        }
        (self._folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")

    def _write(self) -> None:
        self._count += 1
        name = f"{self._stem}-{self._count:05d}.safetensors"
        # Python's own file object: a full disk is an OSError, and the data is on disk before the caller renames.
        with (self._folder / name).open("wb") as file:
            file.write(save(self._pending, metadata={"format": "pt"}))
            file.flush()
            os.fsync(file.fileno())
        self._files |= dict.fromkeys(self._pending, name)
        self._pending, self._pending_bytes = {}, 0
