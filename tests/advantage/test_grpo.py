from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.grpo import Grpo
from steerctl.plugins import registry
from tests.oracles import advantage as oracle

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-0.5, 1.0, 1.0, 0.25]])
LENGTHS = torch.tensor([[5, 1, 9, 3], [2, 2, 4, 8], [7, 1, 1, 2], [3, 6, 1, 12]])


def test_golden():
    # mean 1/4; sample variance (9/16 + 3/16)/3 = 1/4, so A = (3/4)/(1/2) and (−1/4)/(1/2)
    advantages = Grpo()(REWARDS[:1], LENGTHS[:1])
    assert advantages.dtype == torch.float32
    torch.testing.assert_close(advantages, torch.tensor([[1.5, -0.5, -0.5, -0.5]]), rtol=3e-6, atol=0)


@pytest.mark.parametrize(("std", "ddof"), [("sample", 1), ("population", 0)])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-4, 0.5])
def test_oracle(std, ddof, epsilon):
    expected = oracle.grpo(REWARDS.double().numpy(), epsilon, ddof)
    actual = Grpo(std=std, epsilon=epsilon)(REWARDS, LENGTHS)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_equal_rewards_give_nothing_even_where_their_mean_is_rounded():
    rewards = torch.full((3, 7), 0.1)
    assert Grpo()(rewards, torch.ones(3, 7, dtype=torch.int64)).abs().max() < 1e-9


def test_group_of_one_keeps_its_reward():
    rewards = torch.tensor([[2.0], [-1.0], [0.0]])
    torch.testing.assert_close(Grpo(epsilon=1.0)(rewards, torch.ones(3, 1)), rewards / 2)


def test_bessel_factor_at_eight():
    rewards = torch.tensor([[1.0, 0, 0, 1, 0, 0, 0, 0]])
    lengths = torch.ones_like(rewards)
    quotient = Grpo(std="population")(rewards, lengths) / Grpo()(rewards, lengths)
    torch.testing.assert_close(quotient, torch.full_like(quotient, (8 / 7) ** 0.5), rtol=1e-5, atol=0)


def test_every_file_of_the_room_is_a_plug_in():
    kinds = {"grpo", "dr_grpo", "rloo", "opo", "reinforce_pp", "reinforce_pp_baseline", "gpg"}
    assert kinds <= set(registry("steerctl.advantage"))
    assert not any(kind.startswith("_") for kind in registry("steerctl.advantage"))
