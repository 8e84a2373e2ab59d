import pytest
import torch

from steerctl.engine.vllm.buckets import buckets, untied
from steerctl.engine.vllm.weights import Tie


def parameters(**sizes: int) -> list[tuple[str, torch.Tensor]]:
    """Float32 vectors of so many numbers."""
    return [(name, torch.arange(size, dtype=torch.float32) + len(name)) for name, size in sizes.items()]


def cuts(weights, limit: int) -> list[list[str]]:
    return [list(bucket.names) for bucket in buckets(iter(weights), limit, keep=False)]


def test_a_bucket_is_full_before_it_is_too_full() -> None:
    weights = parameters(a=10, b=10, c=5, d=20, e=1)
    assert cuts(weights, limit=100) == [["a", "b", "c"], ["d", "e"]]
    assert cuts(weights, limit=99) == [["a", "b"], ["c"], ["d", "e"]]
    assert cuts(weights, limit=40) == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert cuts([], limit=40) == []


def test_a_parameter_that_is_larger_than_a_bucket_has_one_of_its_own() -> None:
    weights = parameters(a=1, big=100, b=1, c=1)
    assert cuts(weights, limit=16) == [["a"], ["big"], ["b", "c"]]
    found = [(bucket.names, bucket.num_bytes) for bucket in buckets(iter(weights), 16, keep=True)]
    assert found == [(("a",), 4), (("big",), 400), (("b", "c"), 8)]


def test_types_do_not_share_a_bucket() -> None:
    weights = [("a", torch.zeros(3, dtype=torch.bfloat16)), ("b", torch.zeros(3)), ("c", torch.zeros(3))]
    assert [bucket.dtype for bucket in buckets(iter(weights), 1000, keep=True)] == ["bfloat16", "float32"]
    assert cuts(weights, limit=1000) == [["a"], ["b", "c"]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_are_what_vllm_reads(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weights = [
        ("matrix", torch.randn(3, 5).to(dtype)),
        ("transposed", torch.randn(4, 3).to(dtype).t()),  # not contiguous
        ("scalar", torch.randn(()).to(dtype)),
        ("vector", torch.randn(7).to(dtype)),
    ]
    found = {}
    for bucket in buckets(iter(weights), 50, keep=True):
        offset = 0
        for name, shape, size in zip(bucket.names, bucket.shapes, bucket.sizes, strict=True):
            part = bucket.data[offset : offset + size]
            found[name] = part.clone().view(getattr(torch, bucket.dtype)).view(shape)
            offset += size
        assert offset == len(bucket.data)
    assert list(found) == [name for name, _ in weights]
    assert all(torch.equal(found[name], value) for name, value in weights)


def test_the_cuts_are_the_same_where_no_bytes_are_kept() -> None:
    weights = parameters(a=3, b=30, c=2, d=9, e=1)
    kept = [bucket.names for bucket in buckets(iter(weights), 48, keep=True)]
    bare = list(buckets(iter(weights), 48, keep=False))
    assert kept == [bucket.names for bucket in bare]
    assert all(bucket.buffer is None for bucket in bare)
    with pytest.raises(RuntimeError, match="keeps no bytes"):
        _ = bare[0].data


def test_one_buffer_serves_all_that_fit() -> None:
    found = [bucket.buffer for bucket in buckets(iter(parameters(a=4, b=4, big=9, c=4)), 16, keep=True)]
    assert found[0] is found[1]
    assert found[1] is found[3]
    assert found[2] is not found[0]


def test_a_tied_head_follows_its_embedding() -> None:
    weights = parameters(embed=2, norm=1)
    names = [name for name, _ in untied(iter(weights), Tie("embed", "head"))]
    assert names == ["embed", "head", "norm"]
    assert [name for name, _ in untied(iter(weights), None)] == ["embed", "norm"]


def test_the_announcement_is_plain_json() -> None:
    (bucket,) = buckets(iter([("w", torch.zeros(2, 3)), ("b", torch.zeros(()))]), 100, keep=False)
    assert bucket.announcement == {"names": ["w", "b"], "dtype_names": ["float32"] * 2, "shapes": [[2, 3], []]}
