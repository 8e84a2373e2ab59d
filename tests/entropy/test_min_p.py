from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from steerctl.entropy.min_p import min_p_logprobs


def case(seed=0, dtype=torch.float64, scale=3.0):
    rng = torch.Generator().manual_seed(seed)
    hidden, weight = (scale * torch.randn(n, 5, generator=rng, dtype=dtype) for n in (40, 17))
    return hidden, weight, torch.randint(0, 17, (40,), generator=rng), torch.randn(17, generator=rng, dtype=dtype)


def oracle(hidden, weight, targets, bias, *, min_p, temperature):
    found = []
    for state, target in zip(hidden.double().numpy(), targets.tolist(), strict=True):
        logits = (weight.double().numpy() @ state + bias.double().numpy()) / temperature
        p = np.exp(logits - logits.max())
        kept = np.where(p >= min_p * p.max(), p, 0.0)
        found.append(math.log(kept[target] / kept.sum()) if kept[target] else -math.inf)
    return np.array(found)


@pytest.mark.parametrize("chunk_bytes", [None, 64])
@pytest.mark.parametrize("min_p", [1e-9, 0.02, 0.3, 1.0])
def test_oracle(min_p, chunk_bytes):
    hidden, weight, targets, bias = case()
    found = min_p_logprobs(hidden, weight, targets, min_p=min_p, bias_V=bias, temperature=0.8, chunk_bytes=chunk_bytes)
    expected = oracle(hidden, weight, targets, bias, min_p=min_p, temperature=0.8)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert min_p < 0.01 or np.isinf(expected).any()


def test_golden():
    """π = 0.6, 0.3, 0.1: κ = 0.2 drops the last, and 0.3 becomes a third."""
    logits = torch.tensor([0.6, 0.3, 0.1]).log()[:, None]
    found = [min_p_logprobs(torch.ones(1, 1), logits, torch.tensor([t]), min_p=0.2).item() for t in range(3)]
    assert found == pytest.approx([math.log(2 / 3), math.log(1 / 3), -math.inf], abs=1e-6)


def test_no_rows_and_equal_logits():
    hidden, weight, _, _ = case()
    assert min_p_logprobs(hidden[:0], weight, torch.zeros(0, dtype=torch.int64), min_p=0.1).shape == (0,)
    even = min_p_logprobs(torch.zeros(3, 5), weight.float(), torch.tensor([0, 5, 16]), min_p=1.0)
    assert even.tolist() == pytest.approx([-math.log(17)] * 3)
