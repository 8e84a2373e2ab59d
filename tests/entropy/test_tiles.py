"""Accuracy of the streamed sums, at the size of a real vocabulary and for extreme states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steerctl.entropy.stats import stream_stats
from steerctl.entropy.tiles import Block, Head, local_targets
from tests.oracles import entropy as oracle

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def as_numpy(tensor):
    return tensor.detach().double().cpu().numpy()


def test_tiles_cover_the_head_once_and_keep_to_their_size():
    hidden, weight = torch.randn(2500, 3), torch.randn(70, 3)
    head = Head.of(hidden, weight, None, 2.0, chunk_bytes=1024 * 4 * 16)
    assert (head.tile_rows, head.tile_columns) == (1024, 16)
    tile, _ = head.buffers()
    logits = torch.full((2500, 70), torch.nan)
    for block in head.blocks():
        for rows in head.row_slices():
            assert logits[rows, block.columns].isnan().all()
            logits[rows, block.columns] = head.logits(rows, block, tile)
    torch.testing.assert_close(logits, hidden @ weight.t() / 2)


def test_local_targets():
    block = Block(slice(10, 20), torch.empty(10, 1))
    column, inside = local_targets(torch.tensor([9, 10, 19, 20]), block.columns)
    assert column[:, 0].tolist() == [0, 0, 9, 0]
    assert inside[:, 0].tolist() == [False, True, True, False]


VOCABULARY = 151_936


def wide_states():
    """Float32 logits of four kinds of states: certain, peaked, fork, nearly flat."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(4, VOCABULARY, generator=generator)
    logits[0, 17] += 60
    logits[1, 17] += 22
    logits[2, :6] += torch.tensor([19.0, 18.5, 18.0, 19.25, 17.0, 16.0])
    logits[3] *= 0.01
    return logits


@pytest.mark.parametrize("offset", [0.0, 30.0, -30.0, 1e4])
def test_precision_with_a_large_vocabulary_and_offset(device, offset):
    logits = wide_states() + offset  # rounded here: the oracle sees the same float32 numbers
    targets = torch.tensor([17, 3, 2, 99])
    weight = logits.t().contiguous().to(device).requires_grad_()
    stats = stream_stats(torch.eye(4, device=device), weight, targets.to(device), entropy_grad=True)
    truth = oracle.row_stats(as_numpy(logits), targets.numpy())
    for name, bound in (("entropy_N", 4e-6), ("mean_score_N", 1e-6), ("collision_N", 1e-6)):
        np.testing.assert_allclose(as_numpy(getattr(stats, name)), getattr(truth, name), atol=bound, rtol=1e-6)
    np.testing.assert_allclose(as_numpy(stats.logprobs_N), truth.logprobs_N, atol=1e-6, rtol=1e-6)
    (stats.logprobs_N - 2 * stats.entropy_N).sum().backward()
    for row, target in enumerate(targets.tolist()):
        logp = oracle.log_softmax(as_numpy(logits[row]))
        wanted = 2 * np.exp(logp) * (logp + truth.entropy_N[row]) - np.exp(logp)
        wanted[target] += 1
        np.testing.assert_allclose(as_numpy(weight.grad)[:, row], wanted, atol=2e-6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40),
    st.integers(0, 39),
    st.integers(1, 200),
)
def test_bounds_hold_in_float32_without_a_clamp(logits, target, chunk_bytes):
    weight = torch.tensor(logits)[:, None]
    targets = torch.tensor([target % len(logits)])
    stats = stream_stats(torch.ones(1, 1), weight, targets, chunk_bytes=chunk_bytes)
    assert torch.isfinite(torch.cat([stats.logprobs_N, stats.entropy_N, stats.mean_score_N, stats.collision_N])).all()
    assert stats.logprobs_N <= 0
    assert 0 <= stats.entropy_N <= np.log(len(logits)) + 1e-5
    assert 0 <= stats.mean_score_N <= 1
    assert 1 / len(logits) - 1e-6 <= stats.collision_N <= 1 + 1e-6
