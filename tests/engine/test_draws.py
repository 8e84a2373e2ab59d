"""Randomness as a function of seed and index; truncated distributions by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from steerctl.engine.draws import draw, truncated_logprobs, uniforms
from steerctl.types import Sampling

PLAIN = Sampling(temperature=1.0, top_p=1.0, top_k=0, max_tokens=1)


def sampling(**changes) -> Sampling:
    return Sampling(**{"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 1} | changes)


def test_uniforms_depend_on_the_seed_alone_and_extend() -> None:
    both = uniforms([3, 2**63 - 1], 7)
    torch.testing.assert_close(uniforms([2**63 - 1], 7)[0], both[1], rtol=0, atol=0)
    torch.testing.assert_close(uniforms([3], 4)[0], both[0, :4], rtol=0, atol=0)
    assert not torch.equal(both[0], both[1])
    assert uniforms([], 5).shape == (0, 5)


def test_uniforms_are_philox() -> None:
    expected = np.random.Generator(np.random.Philox(key=11)).random(3)
    assert uniforms([11], 3)[0].tolist() == expected.tolist()


def test_inverse_cdf_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]])).expand(6, 3)
    drawn = draw(logits, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 0.999999]), PLAIN)
    assert drawn.token_B.tolist() == [0, 0, 1, 1, 2, 2]
    assert drawn.logprob_B.tolist() == pytest.approx([math.log(p) for p in (0.2, 0.2, 0.5, 0.5, 0.3, 0.3)])
    assert drawn.logprob_B.dtype == torch.float32


def test_a_token_without_mass_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(3, 5)
    drawn = draw(logits, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), PLAIN)
    assert drawn.token_B.tolist() == [1, 3, 3]


def test_temperature_top_k_and_top_p_by_hand() -> None:
    p = torch.tensor([[0.1, 0.4, 0.3, 0.2]])
    squared = p.square() / p.square().sum()
    torch.testing.assert_close(truncated_logprobs(p.log(), sampling(temperature=0.5)).exp(), squared)
    top2 = torch.tensor([[0.0, 4 / 7, 3 / 7, 0.0]])
    torch.testing.assert_close(truncated_logprobs(p.log(), sampling(top_k=2)).exp(), top2)
    # 0.4 + 0.3 reaches 0.6; 0.4 alone does not.
    torch.testing.assert_close(truncated_logprobs(p.log(), sampling(top_p=0.6)).exp(), top2)
    one = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(truncated_logprobs(p.log(), sampling(top_p=1e-9)).exp(), one)
    # top_k first, then the nucleus of what is left: 4/7 reaches 0.5.
    torch.testing.assert_close(truncated_logprobs(p.log(), sampling(top_k=2, top_p=0.5)).exp(), one)


def test_frequencies_follow_the_distribution() -> None:
    p = torch.tensor([0.05, 0.6, 0.1, 0.25])
    count = 20_000
    drawn = draw(p.log().expand(count, 4), uniforms(list(range(count)), 1)[:, 0], PLAIN)
    found = torch.bincount(drawn.token_B, minlength=4) / count
    torch.testing.assert_close(found, p, rtol=0, atol=4 * math.sqrt(0.25 / count))
