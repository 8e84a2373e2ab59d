from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.advantage.grpo import Grpo
from steerctl.advantage.pass_at_k import PassAtK
from steerctl.errors import SpecError
from tests.oracles import advantage_b as oracle


def advantages(rewards, **settings):
    rewards = torch.tensor(rewards)
    return PassAtK(**settings)(rewards, torch.ones_like(rewards, dtype=torch.int64))


def test_golden():
    # G = 4, k = 2, one right: C(3,2)/C(4,2) = ½ fail, σ = ½; a wrong one shares 2 of its 3 pairs with a wrong one
    actual = advantages([[1.0, 0.0, 0.0, 0.0]], k=2)
    torch.testing.assert_close(actual, torch.tensor([[1.0, -1 / 3, -1 / 3, -1 / 3]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("more", [1, 2, 4])
def test_oracle_of_every_number_of_right_answers(k, more):
    size = k + more
    right = np.tri(size + 1, size, -1, dtype=bool)  # 0 to `size` right
    actual = advantages(right.astype(np.float32).tolist(), k=k)
    np.testing.assert_allclose(actual.numpy(), oracle.pass_at_k(right, k, 1e-6), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(actual.double().sum(1).numpy(), 0, atol=1e-5)


def test_k_of_one_is_grpo_with_the_population_deviation():
    rewards = [[1.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0]]
    grpo = Grpo(std="population")(torch.tensor(rewards), torch.ones(2, 5))
    torch.testing.assert_close(advantages(rewards, k=1), grpo)


def test_hard_problems_weigh_more_beside_easy_ones_the_larger_k():
    groups = [[1.0] + [0.0] * 7, [1.0] * 4 + [0.0] * 4, [1.0] * 5 + [0.0] * 3]
    weights = [advantages(groups, k=k).abs().sum(1) for k in (1, 2, 4)]
    shares = [float(weight[0] / weight[1]) for weight in weights]
    assert shares == sorted(shares)
    assert shares[0] < 1 < shares[2]
    assert weights[2][2] == 0  # three wrong: no four of them are


@pytest.mark.parametrize("reward", [0.0, 1.0, -1.0])
def test_equal_rewards_give_nothing(reward):
    assert (advantages([[reward] * 8], k=4).abs() < 1e-9).all()


def test_what_counts_as_right():
    expected = advantages([[1.0, 0.0, 0.0, 0.0]], k=2)
    assert torch.equal(advantages([[1.0, -1.0, -1.0, -1.0]], k=2), expected)
    assert torch.equal(advantages([[0.4, -0.5, 0.0, -1.0]], k=2), expected)
    assert torch.equal(advantages([[0.9, 0.4, 0.5, -1.0]], k=2, right_above=0.5), expected)


@pytest.mark.parametrize("k", [4, 5])
def test_no_less_than_the_group_is_refused_in_one_line(k):
    with pytest.raises(SpecError, match=rf"k: {k} must be below rollout.group_size \(4\)"):
        advantages([[1.0, 0.0, 0.0, 0.0]], k=k)
