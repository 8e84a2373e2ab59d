from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.grpo_passk import GrpoPassk
from tests.oracles import advantage_b as oracle


def advantages(rewards, **settings):
    rewards = torch.tensor(rewards)
    return GrpoPassk(**settings)(rewards, torch.ones_like(rewards, dtype=torch.int64))


def test_golden():
    # deviation ½; two right answers leave no lead
    actual = advantages([[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(actual, torch.tensor([[0, 2.0, 0, 0], [0, 0, 0, 0]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_oracle(epsilon):
    rng = np.random.default_rng(1)
    rewards = np.concatenate([rng.normal(size=(6, 5)), rng.integers(0, 2, (6, 5))]).astype(np.float32)
    expected = oracle.best_lead(rewards.astype(float), epsilon)
    np.testing.assert_allclose(advantages(rewards.tolist(), epsilon=epsilon).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("rewards", [[[0.1] * 7], [[1.0]], [[-1.0] * 2]])
def test_no_lead_gives_nothing(rewards):
    assert (advantages(rewards) == 0).all()
