from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from steerctl.entropy.stats import RowStats, stats_from_logits, stream_stats
from tests.golden.make_entropy import STATES, golden
from tests.oracles import entropy as oracle

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/entropy.json").read_text())["states"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
NAMES = [field.name for field in fields(RowStats)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def case(*, rows=37, width=12, vocabulary=211, dtype=torch.float32, device="cpu", seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    hidden = (scale * torch.randn(rows, width, generator=generator, dtype=torch.float64)).to(dtype)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(vocabulary, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.randint(vocabulary, (rows,), generator=generator)
    upstream = torch.randn(2, rows, generator=generator, dtype=torch.float64)
    inputs = [tensor.to(device).requires_grad_() for tensor in (hidden, weight, bias)]
    return inputs, targets.to(device), upstream.to(device)


def descend(inputs, targets, upstream, **options):
    hidden, weight, bias = inputs
    stats = stream_stats(hidden, weight, targets, bias_V=bias, **options)
    loss = (upstream[0] * stats.logprobs_N).sum()
    if options.get("entropy_grad"):
        loss = loss + (upstream[1] * stats.entropy_N).sum()
    return stats, torch.autograd.grad(loss, inputs)


def values(stats):
    return tuple(getattr(stats, name) for name in NAMES)


def as_numpy(tensor):
    return tensor.detach().double().cpu().numpy()


def expected(inputs, targets, upstream, temperature, *, entropy_grad):
    hidden, weight, bias = map(as_numpy, inputs)
    logits = (hidden @ weight.T + bias) / temperature
    through = as_numpy(upstream) * np.array([[1.0], [float(entropy_grad)]])
    stats = oracle.row_stats(logits, targets.cpu().numpy())
    grad = oracle.logit_gradients(logits, targets.cpu().numpy(), through) / temperature
    return stats, {"hidden": grad @ weight, "weight": grad.T @ hidden, "bias": grad.sum(axis=0)}


def check(stats, grads, truth, tolerance, grad_tolerance):
    for name in NAMES:
        np.testing.assert_allclose(
            as_numpy(getattr(stats, name)), getattr(truth[0], name), atol=tolerance, rtol=tolerance
        )
    for grad, (name, wanted) in zip(grads, truth[1].items(), strict=True):
        worst = np.abs(as_numpy(grad) - wanted).max() / np.abs(wanted).max()
        assert worst < grad_tolerance, f"{name}: {worst:.1e}"


@pytest.mark.parametrize("entropy_grad", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_forward_and_backward_equal_the_oracle(device, dtype, temperature, entropy_grad):
    inputs, targets, upstream = case(dtype=dtype, device=device)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-6
    grad_tolerance = 4e-3 if dtype == torch.bfloat16 else tolerance
    if device == "cuda" and dtype == torch.bfloat16:
        tolerance, grad_tolerance = 5e-2, 2e-2  # an old GPU rounds the logits in the matrix product
    stats, grads = descend(inputs, targets, upstream, temperature=temperature, entropy_grad=entropy_grad)
    truth = expected(inputs, targets, upstream, temperature, entropy_grad=entropy_grad)
    check(stats, grads, truth, tolerance, grad_tolerance)
    assert stats.logprobs_N.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert [grad.dtype for grad in grads] == [dtype] * 3
    assert stats.entropy_N.requires_grad is entropy_grad
    assert not stats.mean_score_N.requires_grad
    assert not stats.collision_N.requires_grad


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_states(name, dtype):
    state = GOLDEN[name]
    logits = torch.tensor([state["logits"]], dtype=dtype)
    target = torch.tensor([state["target"]])
    weight = logits.t().contiguous().requires_grad_()
    streamed = stream_stats(
        torch.ones(1, 1, dtype=dtype),
        weight,
        target,
        temperature=state["temperature"],
        entropy_grad=True,
        chunk_bytes=8,
    )
    tolerance = 1e-11 if dtype == torch.float64 else 1e-6
    for stats in (streamed, stats_from_logits(logits, target, temperature=state["temperature"])):
        found = [value.item() for value in values(stats)]
        wanted = [state[key] for key in ("logprob", "entropy", "mean_score", "collision")]
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    streamed.entropy_N.sum().backward()
    np.testing.assert_allclose(as_numpy(weight.grad)[:, 0], state["entropy_gradient"], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("chunk_bytes", [1, 4 * 37 * 10, 4 * 37 * 64, 2**30])
def test_tile_size_changes_only_rounding(device, chunk_bytes, monkeypatch):
    monkeypatch.setattr("steerctl.entropy.tiles._TILE_ROWS", 16)
    inputs, targets, upstream = case(device=device)
    stats, grads = descend(inputs, targets, upstream, chunk_bytes=chunk_bytes, entropy_grad=True, temperature=0.8)
    check(stats, grads, expected(inputs, targets, upstream, 0.8, entropy_grad=True), 3e-6, 3e-6)


def test_bfloat16_weight_gradient_is_summed_in_float32_over_row_slices(monkeypatch):
    monkeypatch.setattr("steerctl.entropy.tiles._TILE_ROWS", 8)
    inputs, targets, upstream = case(rows=999, dtype=torch.bfloat16)
    _, grads = descend(inputs, targets, upstream)
    wanted = expected(inputs, targets, upstream, 1.0, entropy_grad=False)[1]["weight"]
    # One rounding to 8 bits of significand, not 125 of them.
    np.testing.assert_allclose(as_numpy(grads[1]), wanted, rtol=2**-8, atol=1e-5)


def test_hidden_and_weight_of_different_dtypes():
    (hidden, weight, bias), targets, upstream = case()
    inputs = [hidden.detach().bfloat16().requires_grad_(), weight, bias]
    stats, grads = descend(inputs, targets, upstream)
    check(stats, grads, expected(inputs, targets, upstream, 1.0, entropy_grad=False), 3e-6, 4e-3)
    assert [grad.dtype for grad in grads] == [torch.bfloat16, torch.float32, torch.float32]


def test_gradcheck():
    inputs, targets, _ = case(rows=3, width=4, vocabulary=6, dtype=torch.float64)

    def outputs(hidden, weight, bias):
        stats = stream_stats(
            hidden, weight, targets, bias_V=bias, temperature=0.7, entropy_grad=True, chunk_bytes=8 * 3 * 4
        )
        return stats.logprobs_N, stats.entropy_N

    assert torch.autograd.gradcheck(outputs, inputs)


def test_no_rows():
    inputs, targets, upstream = case(rows=0)
    stats, grads = descend(inputs, targets, upstream, entropy_grad=True)
    assert all(value.shape == (0,) and value.dtype == torch.float32 for value in values(stats))
    assert [grad.shape for grad in grads] == [tensor.shape for tensor in inputs]
    assert all(not grad.any() for grad in grads)


def test_rows_without_upstream_gradient_get_none():
    inputs, targets, upstream = case()
    mask = torch.arange(37) % 3 == 0
    _, whole = descend(inputs, targets, upstream * mask, entropy_grad=True)
    assert not whole[0][~mask].any()
    few = [inputs[0].detach()[mask].requires_grad_(), *inputs[1:]]
    _, selected = descend(few, targets[mask], upstream[:, mask], entropy_grad=True)
    torch.testing.assert_close(whole[0][mask], selected[0])
    torch.testing.assert_close(whole[1], selected[1])


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_needed_gradients_are_made(needs):
    inputs, targets, upstream = case()
    _, everything = descend(inputs, targets, upstream)
    some = [tensor.detach().requires_grad_(needed) for tensor, needed in zip(inputs, needs, strict=True)]
    stats = stream_stats(some[0], some[1], targets, bias_V=some[2])
    (upstream[0] * stats.logprobs_N).sum().backward()
    for tensor, needed, wanted in zip(some, needs, everything, strict=True):
        assert (tensor.grad is not None) is needed
        if needed:
            torch.testing.assert_close(tensor.grad, wanted, rtol=0, atol=0)


def test_entropy_gradient_alone_and_without_a_graph():
    inputs, targets, upstream = case()
    stats = stream_stats(inputs[0], inputs[1], targets, bias_V=inputs[2], entropy_grad=True)
    grads = torch.autograd.grad((upstream[1] * stats.entropy_N).sum(), inputs)
    alone = upstream * torch.tensor([[0.0], [1.0]])
    check(stats, grads, expected(inputs, targets, alone, 1.0, entropy_grad=True), 3e-6, 3e-6)
    with torch.no_grad():
        quick = stream_stats(inputs[0], inputs[1], targets, bias_V=inputs[2], entropy_grad=True)
    for with_graph, without in zip(values(stats), values(quick), strict=True):
        assert not without.requires_grad
        assert torch.equal(with_graph, without)


def test_autocast_changes_nothing():
    inputs, targets, upstream = case()
    plain = descend(inputs, targets, upstream, entropy_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stats, grads = descend(inputs, targets, upstream, entropy_grad=True)
    assert torch.equal(stats.entropy_N, plain[0].entropy_N)
    assert all(torch.equal(one, other) for one, other in zip(grads, plain[1], strict=True))


def test_stats_from_logits_is_the_same_function():
    inputs, targets, upstream = case(dtype=torch.float64)
    stats, grads = descend(inputs, targets, upstream, temperature=0.9, entropy_grad=True)
    hidden, weight, bias = inputs
    plain = stats_from_logits(hidden @ weight.t() + bias, targets, temperature=0.9)
    loss = (upstream[0] * plain.logprobs_N).sum() + (upstream[1] * plain.entropy_N).sum()
    torch.testing.assert_close(grads, torch.autograd.grad(loss, inputs), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(values(stats), values(plain), rtol=1e-11, atol=1e-11)
    assert not plain.mean_score_N.requires_grad
    assert not stats_from_logits(hidden @ weight.t(), targets, entropy_grad=False).entropy_N.requires_grad


# --- what is kept for the backward pass ------------------------------------------------------------------------------


def test_only_inputs_and_row_constants_are_kept():
    inputs, targets, _ = case()
    kept = []

    def pack(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        stream_stats(inputs[0], inputs[1], targets, bias_V=inputs[2], entropy_grad=True)
    pointers = {tensor.data_ptr() for tensor in inputs}
    own = [tensor for tensor in kept if tensor.data_ptr() not in pointers]
    assert sum(tensor.numel() for tensor in own) <= 3 * 37
    assert pointers <= {tensor.data_ptr() for tensor in kept}


def test_weight_may_be_freed_and_gathered_between_the_passes():
    inputs, targets, upstream = case()
    _, wanted = descend(inputs, targets, upstream)
    hidden, weight = inputs[0], torch.nn.Parameter(inputs[1].detach().clone())
    gathered = weight.detach().clone()
    stats = stream_stats(hidden, weight, targets, bias_V=inputs[2])
    weight.data = torch.empty(0)
    with pytest.raises(RuntimeError, match="freed before the backward"):
        (upstream[0] * stats.logprobs_N).sum().backward(retain_graph=True)
    weight.data = gathered
    (upstream[0] * stats.logprobs_N).sum().backward()
    torch.testing.assert_close(weight.grad, wanted[1])


def test_wrong_arguments_are_named():
    (hidden, weight, bias), targets, _ = case()
    for arguments, options, text in (
        ((hidden, weight[:, :3], targets), {}, "not gathered"),
        ((hidden, weight.new_empty(0), targets), {}, "not gathered"),
        ((hidden, weight, targets[:-1]), {}, "targets have the shape"),
        ((hidden, weight, targets - 300), {}, "outside the vocabulary"),
        ((hidden, weight, targets), {"temperature": 0.0}, "temperature must be positive"),
        ((hidden, weight, targets), {"chunk_bytes": 0}, "chunk_bytes must be positive"),
        ((hidden, weight, targets), {"bias_V": bias[1:]}, "bias has the shape"),
    ):
        with pytest.raises(ValueError, match=text):
            stream_stats(*arguments, **options)


def measured(path):
    command = [sys.executable, str(ROOT / "experiments/benchmarks/token_stats.py"), "--path", path, "--entropy-grad"]
    command += ["--tokens", "512", "--vocab", "32000", "--hidden", "32"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def test_streaming_needs_an_eighth_of_the_memory_of_full_logits():
    streamed, full = measured("stream"), measured("full")
    assert streamed["peak_bytes"] <= full["peak_bytes"] / 8
    for name in ("loss", "hidden_grad", "weight_grad"):
        assert streamed[name] == pytest.approx(full[name], rel=1e-4)


def test_golden_file_is_what_its_script_writes():
    for name, arguments in STATES.items():
        assert golden(*arguments) == GOLDEN[name]
