from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.reinforce_pp import ReinforcePp
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    # three tokens of 1 and one of 0: mean 3/4, sample variance (3/16 + 9/16)/3 = 1/4
    actual = ReinforcePp()(torch.tensor([[1.0, 0.0]]), torch.tensor([[3, 1]]))
    torch.testing.assert_close(actual, torch.tensor([[0.5, -1.5]]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("epsilon", [1e-8, 0.3])
def test_oracle(epsilon):
    expected = oracle.token_whitened(REWARDS.double().numpy(), LENGTHS.numpy(), epsilon)
    np.testing.assert_allclose(ReinforcePp(epsilon=epsilon)(REWARDS, LENGTHS).numpy(), expected, rtol=1e-6)


def test_equal_rewards_give_nothing():
    assert ReinforcePp()(torch.full((2, 3), 0.1), torch.ones(2, 3)).abs().max() < 1e-9


def test_one_response_gives_nothing():
    assert ReinforcePp()(torch.tensor([[1.0]]), torch.tensor([[1]])).tolist() == [[0.0]]
