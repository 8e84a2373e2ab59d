from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.grpo import Grpo
from steerctl.intervention.unlikeliness import Unlikeliness
from tests.batches import make_case
from tests.intervention.populations import assert_baseline, groups_of
from tests.oracles import intervention_a as oracle


def shaped(method, values, logprobs, rewards=None):
    (group,) = method.reshape(
        groups_of([values], logprobs=[logprobs], rewards_PG=None if rewards is None else [rewards])
    )
    return list(group.rewards_G)


def test_golden_four_responses():
    # likeliest first: ranks 1 to 4, penalties .25·(3, 2, 1, 0)/4
    logprobs = [[-0.1], [-0.5], [-1.0], [-2.0]]
    assert shaped(Unlikeliness(), [1, 1, 1, 1], logprobs) == pytest.approx([0.8125, 0.875, 0.9375, 1.0])
    assert shaped(Unlikeliness(), [0, 1, 0, 1], logprobs) == pytest.approx([0, 0.875, 0, 1.0])


def test_mean_and_sum_rank_differently():
    logprobs = [[-0.5, -0.5, -0.5], [-1.0]]
    assert shaped(Unlikeliness(beta=1.0), [1, 1], logprobs) == pytest.approx([0.5, 1.0])
    assert shaped(Unlikeliness(beta=1.0, likelihood="sequence"), [1, 1], logprobs) == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize("likelihood", ["length_mean", "sequence"])
@pytest.mark.parametrize("seed", range(3))
def test_oracle(likelihood, seed):
    rng = np.random.default_rng(seed)
    logprobs = [list(-rng.exponential(size=int(rng.integers(1, 12)))) for _ in range(16)]
    rewards = [float(r) for r in rng.choice([-1.0, 0.0, 0.4, 1.0], 16)]
    keys = [float(np.sum(np.float32(row).astype(float))) for row in logprobs]
    if likelihood == "length_mean":
        keys = [key / len(row) for key, row in zip(keys, logprobs, strict=True)]
    actual = shaped(Unlikeliness(beta=0.3, likelihood=likelihood), [0] * 16, logprobs, rewards)
    assert actual == pytest.approx(oracle.unlikeliness(rewards, keys, 0.3))


def test_equal_responses_earn_the_same_and_the_group_loses_as_much_as_without_ties():
    tied = shaped(Unlikeliness(), [1, 1, 1, 1], [[-0.5], [-0.5], [-0.5], [-0.5]])
    assert tied == pytest.approx([1 - 0.25 * 1.5 / 4] * 4)
    assert len(set(tied)) == 1


def test_wrong_responses_keep_what_they_have():
    assert shaped(Unlikeliness(beta=1.0), [0, 0], [[-1.0], [-2.0]], [-1.0, 0.0]) == [-1.0, 0.0]


def test_an_all_right_group_gets_a_signal_of_size_one_with_grpo_and_beta_with_dr_grpo():
    rewards = torch.tensor([shaped(Unlikeliness(), [1] * 4, [[-0.1], [-0.5], [-1.0], [-2.0]])])
    lengths = torch.ones(1, 4, dtype=torch.int64)
    assert Grpo()(rewards, lengths).std().item() == pytest.approx(1, rel=1e-4)
    assert DrGrpo()(rewards, lengths).abs().max().item() == pytest.approx(0.25 * 1.5 / 4)
    wrong = torch.tensor([shaped(Unlikeliness(), [0] * 4, [[-0.1], [-0.5], [-1.0], [-2.0]])])
    assert (Grpo()(wrong, lengths) == 0).all()


def test_beta_zero_and_a_group_of_one_change_nothing():
    rewards = [0.3, 1.0, 0.7]
    assert shaped(Unlikeliness(beta=0.0), [1] * 3, [[-1.0], [-2.0], [-3.0]], rewards) == rewards
    assert shaped(Unlikeliness(), [1], [[-1.0]]) == [1.0]


def test_only_rewards_change_and_later_moments_do_nothing():
    groups = groups_of([[1, 0], [0, 1]], logprobs=[[[-1.0], [-2.0]], [[-2.0], [-1.0]]])
    after = Unlikeliness().reshape(groups)
    assert [replace(group, rewards_G=old.rewards_G) for group, old in zip(after, groups, strict=True)] == groups
    assert groups[0].rewards_G == (1.0, 0.0)
    assert_baseline(Unlikeliness(), make_case(seed=1, drift=0.5))


def test_impossible_and_empty_responses_stay_finite():
    assert shaped(Unlikeliness(beta=1.0), [1, 1, 1], [[-1e30], [], [0.0]]) == pytest.approx([1.0, 0.5, 0.5])


def test_a_beta_above_one_is_refused():
    with pytest.raises(ValidationError):
        Unlikeliness(beta=1.5)
    assert not Unlikeliness.inert_when_on_policy
