from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.advantage.quantile import Quantile
from tests.oracles import advantage_b as oracle


def advantages(rewards, **settings):
    rewards = torch.tensor(rewards)
    return Quantile(**settings)(rewards, torch.ones_like(rewards, dtype=torch.int64))


def test_golden():
    # K = 0.4 of five: the second smallest. Two wrong, three right: 0; one wrong: 1. Deviations √0.3 and √0.2
    actual = advantages([[0.0, 1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0, 1.0]])
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual[0], torch.tensor([0, 1, 0, 1, 1]) / 0.3**0.5, rtol=1e-5, atol=0)
    torch.testing.assert_close(actual[1], torch.tensor([0, 0, -1, 0, 0]) / 0.2**0.5, rtol=1e-5, atol=0)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("size", [2, 5, 8, 10])
def test_oracle(share, size):
    rng = np.random.default_rng(size)
    rewards = np.concatenate([rng.integers(0, 2, (12, size)), rng.normal(size=(6, size))]).astype(np.float32)
    actual = advantages(rewards.tolist(), quantile=share, epsilon=1e-4)
    np.testing.assert_allclose(actual.numpy(), oracle.quantile(rewards.astype(float), share, 1e-4), rtol=1e-6)


@pytest.mark.parametrize("right", range(11))
def test_only_the_right_of_hard_and_the_wrong_of_easy_groups_have_credit(right):
    found = advantages([[1.0] * right + [0.0] * (10 - right)])[0]
    if right <= 6:  # accuracy up to 1 − K
        assert (found[:right] > 0).all()
        assert (found[right:] == 0).all()
    else:
        assert (found[:right] == 0).all()
        assert (found[right:] < 0).all()


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1])
def test_equal_rewards_give_exactly_nothing(reward):
    assert (advantages([[reward] * 7]) == 0).all()


def test_group_of_one_keeps_its_reward():
    torch.testing.assert_close(advantages([[2.0], [-1.0]], epsilon=1.0), torch.tensor([[1.0], [-0.5]]))


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        Quantile(quantile=0.0)
