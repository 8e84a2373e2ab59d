from __future__ import annotations

import torch

from steerctl.advantage._groups import centred, token_whitened


def test_centred():
    assert centred(torch.tensor([[1.0, 0.0, 0.5]])).tolist() == [[0.5, -0.5, 0.0]]
    assert centred(torch.tensor([[3.0], [-1.0]])).tolist() == [[3.0], [-1.0]]
    assert centred(torch.full((1, 8), 0.1)).tolist() == [[0.0] * 8]


def test_token_whitened_has_mean_zero_and_variance_one_over_tokens():
    values = torch.tensor([[1.0, 4.0], [2.0, -3.0]])
    lengths = torch.tensor([[3, 1], [10, 2]])
    tokens = token_whitened(values, lengths, 1e-12).flatten().repeat_interleave(lengths.flatten())
    torch.testing.assert_close(tokens.mean().item(), 0.0, rtol=0, atol=1e-12)
    torch.testing.assert_close(tokens.var().item(), 1.0)


def test_token_whitened_without_tokens_is_finite():
    assert token_whitened(torch.ones(1, 2), torch.zeros(1, 2), 1e-8).isfinite().all()
