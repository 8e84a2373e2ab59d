from __future__ import annotations

import numpy as np
import torch

from steerctl.advantage.rloo import Rloo
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    # the others of the right one average 0, those of a wrong one 1/3
    torch.testing.assert_close(Rloo()(REWARDS[:1], LENGTHS[:1]), torch.tensor([[1.0, -1 / 3, -1 / 3, -1 / 3]]))


def test_oracle():
    actual = Rloo()(REWARDS, LENGTHS)
    assert actual.dtype == torch.float32
    np.testing.assert_allclose(actual.numpy(), oracle.rloo(REWARDS.double().numpy()), rtol=1e-6, atol=1e-9)


def test_group_of_one_keeps_its_reward():
    assert Rloo()(torch.tensor([[2.0], [-1.0]]), torch.ones(2, 1)).tolist() == [[2.0], [-1.0]]
