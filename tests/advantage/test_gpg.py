from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.gpg import Gpg
from steerctl.advantage.grpo import Grpo
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


@pytest.mark.parametrize(("alpha", "factor"), [("valid_groups", 16 / 8), ("nonzero_rewards", 16 / 9), ("one", 1.0)])
def test_golden(alpha, factor):
    # two of four groups are informative; nine of sixteen rewards are not 0
    torch.testing.assert_close(Gpg(alpha=alpha)(REWARDS, LENGTHS), factor * DrGrpo()(REWARDS, LENGTHS))


def test_oracle():
    np.testing.assert_allclose(Gpg()(REWARDS, LENGTHS).numpy(), oracle.gpg(REWARDS.double().numpy()), rtol=1e-6)


def test_divided_by_the_deviation_it_is_grpo():
    actual = Gpg(alpha="one", f_norm="std")(REWARDS, LENGTHS)
    torch.testing.assert_close(actual, Grpo(epsilon=1e-4)(REWARDS, LENGTHS))


@pytest.mark.parametrize("alpha", ["valid_groups", "nonzero_rewards"])
def test_no_informative_group_gives_zero(alpha):
    assert Gpg(alpha=alpha)(torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [[0.0] * 3] * 2


def test_group_of_one_counts_where_its_reward_is_not_zero():
    assert Gpg()(torch.tensor([[1.0], [0.0]]), torch.ones(2, 1)).tolist() == [[2.0], [0.0]]
