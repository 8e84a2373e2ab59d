from __future__ import annotations

import numpy as np
import torch

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.opo import Opo
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    # baseline 5·1/(5 + 1 + 9 + 3) = 5/18
    expected = torch.tensor([[13 / 18, -5 / 18, -5 / 18, -5 / 18]])
    torch.testing.assert_close(Opo()(REWARDS[:1], LENGTHS[:1]), expected)


def test_oracle():
    expected = oracle.opo(REWARDS.double().numpy(), LENGTHS.double().numpy())
    np.testing.assert_allclose(Opo()(REWARDS, LENGTHS).numpy(), expected, rtol=1e-6, atol=1e-9)


def test_equal_lengths_give_the_plain_mean():
    lengths = torch.full_like(LENGTHS, 5)
    torch.testing.assert_close(Opo()(REWARDS, lengths), DrGrpo()(REWARDS, lengths))


def test_length_weighted_advantages_sum_to_zero():
    torch.testing.assert_close((Opo()(REWARDS, LENGTHS) * LENGTHS).sum(dim=1), torch.zeros(4), rtol=0, atol=1e-5)


def test_group_of_one_keeps_its_reward():
    assert Opo()(torch.tensor([[2.0], [-1.0]]), torch.ones(2, 1)).tolist() == [[2.0], [-1.0]]
