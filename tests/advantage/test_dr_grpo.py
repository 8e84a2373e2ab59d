from __future__ import annotations

import torch

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.grpo import Grpo

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    expected = [[0.75, -0.25, -0.25, -0.25], [0.0] * 4, [0.0] * 4, [-0.9375, 0.5625, 0.5625, -0.1875]]
    assert DrGrpo()(REWARDS, LENGTHS).tolist() == expected


def test_it_is_grpo_times_the_deviation():
    grpo = Grpo(epsilon=1e-12)(REWARDS, LENGTHS)
    torch.testing.assert_close(DrGrpo()(REWARDS, LENGTHS), grpo * REWARDS.std(dim=1, keepdim=True))


def test_group_of_one_keeps_its_reward():
    assert DrGrpo()(torch.tensor([[2.0], [-1.0]]), torch.ones(2, 1)).tolist() == [[2.0], [-1.0]]
