"""Sharded writing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from steerctl.engine.shards import ShardWriter


def test_shards_hold_every_tensor_once(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.randn(10, i + 1) for i in range(6)}
    writer = ShardWriter(tmp_path, "state", 300)
    for name, value in tensors.items():
        buffer = value.clone()
        writer.add(name, buffer)
        buffer.zero_()  # the caller may reuse it
    where = writer.close()
    assert sorted(set(where.values())) == sorted(path.name for path in tmp_path.iterdir())
    assert len(set(where.values())) == 4
    assert all(torch.equal(load_file(tmp_path / where[name])[name], tensors[name]) for name in tensors)
    assert writer.total_bytes == sum(value.numel() * 4 for value in tensors.values())


def test_a_refusing_disk_is_an_os_error(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "absent", "state", 10)
    writer.add("a", torch.zeros(3))
    with pytest.raises(OSError, match="No such file"):
        writer.close()
