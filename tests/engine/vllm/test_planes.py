"""What the planes tell a server, read by vLLM's own classes. No GPU is needed, and none is shown to work."""

import sys

import pytest
import torch

from steerctl.engine.vllm.buckets import buckets
from steerctl.engine.vllm.planes import IpcPlane, NcclPlane
from steerctl.errors import EngineError


def some_buckets(limit: int = 64):
    weights = [("a", torch.arange(6.0)), ("b", torch.arange(6.0) + 1), ("c", torch.arange(9.0) + 2)]
    return buckets(iter(weights), limit, keep=True)


def test_ranks_of_the_broadcast_are_dealt_out_over_servers() -> None:
    plane = NcclPlane(servers=3, tensor_parallel=2)
    invited = [plane.invitation(server) for server in range(3)]
    assert [each["rank_offset"] for each in invited] == [1, 3, 5]
    assert {each["world_size"] for each in invited} == {7}
    assert len({each["master_port"] for each in invited}) == 1


def test_vllm_understands_the_invitation_and_the_announcement() -> None:
    from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
    from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferUpdateInfo

    plane = NcclPlane(servers=1, tensor_parallel=1, limit=64)
    info = NCCLWeightTransferInitInfo(**plane.invitation(0))
    assert (info.packed, info.packed_buffer_size_bytes, info.world_size) == (True, 64, 2)
    for bucket in some_buckets():
        told = NCCLWeightTransferUpdateInfo(**plane.announcement(bucket, []))
        assert told.names == list(bucket.names)


def test_without_nccl_nothing_is_sent_in_silence(monkeypatch) -> None:
    import types

    common = types.ModuleType("nccl_common")
    common.trainer_init = lambda info: types.SimpleNamespace(available=False, destroy=lambda: None)
    monkeypatch.setitem(sys.modules, "vllm.distributed.weight_transfer.nccl_common", common)
    with pytest.raises(EngineError, match="vLLM finds no NCCL library; use transport: disk"):
        NcclPlane(1, 1).open()


def test_vllm_reads_the_handles_of_every_rank(monkeypatch) -> None:
    from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferInitInfo, IPCWeightTransferUpdateInfo
    from vllm.distributed.weight_transfer.packed_tensor import unpack_tensor

    exports = []
    ranks = [
        IpcPlane(device=lambda buffer, rank=rank: f"GPU-{rank}", export=lambda buffer: exports.append(buffer) or ("h",))
        for rank in (0, 1)
    ]
    assert IPCWeightTransferInitInfo(**ranks[0].invitation(0)).packed
    found = {}
    for bucket in some_buckets():
        told = ranks[0].announcement(bucket, [plane.offer(bucket) for plane in ranks])
        with pytest.raises(ValueError, match="VLLM_ALLOW_INSECURE_SERIALIZATION"):
            IPCWeightTransferUpdateInfo(**told)
        monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
        info = IPCWeightTransferUpdateInfo(**told)
        monkeypatch.delenv("VLLM_ALLOW_INSECURE_SERIALIZATION")
        assert info.ipc_handles == {"GPU-0": ("h",), "GPU-1": ("h",)}
        kinds = [getattr(torch, name) for name in info.dtype_names]
        content = bucket.buffer[: sum(info.tensor_sizes)]
        read = unpack_tensor(content, info.names, info.shapes, kinds, info.tensor_sizes)
        found |= {name: value.clone() for name, value in read}
    assert found["a"].tolist() == list(range(6))
    assert found["c"].tolist() == [value + 2 for value in range(9)]
    assert len(exports) == 2  # once per rank: the buffer stayed the same


def test_a_buffer_is_exported_anew_when_another_was_in_between() -> None:
    exports = []
    plane = IpcPlane(device=str, export=lambda buffer: exports.append(len(buffer)))
    weights = [("a", torch.zeros(2)), ("big", torch.zeros(9)), ("b", torch.zeros(2))]
    for bucket in buckets(iter(weights), 16, keep=True):
        plane.offer(bucket)
    assert exports == [16, 36, 16]
    plane.done()
    for bucket in buckets(iter(weights[:1]), 16, keep=True):
        plane.offer(bucket)
    assert exports == [16, 36, 16, 16]
