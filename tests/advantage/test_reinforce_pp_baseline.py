from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.reinforce_pp_baseline import ReinforcePpBaseline
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    # differences ±1/2 over four tokens: mean 1/4, sample variance (3/16 + 9/16)/3 = 1/4
    actual = ReinforcePpBaseline()(torch.tensor([[1.0, 0.0]]), torch.tensor([[3, 1]]))
    torch.testing.assert_close(actual, torch.tensor([[0.5, -1.5]]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("epsilon", [1e-8, 0.3])
def test_oracle(epsilon):
    rewards = REWARDS.double().numpy()
    expected = oracle.token_whitened(rewards - rewards.mean(axis=1, keepdims=True), LENGTHS.numpy(), epsilon)
    np.testing.assert_allclose(ReinforcePpBaseline(epsilon=epsilon)(REWARDS, LENGTHS).numpy(), expected, rtol=1e-6)


def test_a_problem_s_difficulty_does_not_matter():
    shifted = REWARDS + torch.tensor([[0.0], [3.0], [-2.0], [1.0]])
    torch.testing.assert_close(ReinforcePpBaseline()(shifted, LENGTHS), ReinforcePpBaseline()(REWARDS, LENGTHS))
