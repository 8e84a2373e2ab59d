"""Verdicts and lengths to rewards."""

import pytest
import torch

from steerctl.advantage.grpo import Grpo
from steerctl.reward.overlong import Overlong
from steerctl.reward.shape import shaped_rewards
from steerctl.types import Verdict

RIGHT, WRONG, HALF = Verdict(1.0, "1", ""), Verdict(0.0, None, ""), Verdict(0.5, "1", "")


def test_linear_between_incorrect_and_correct():
    rewards = shaped_rewards([RIGHT, WRONG, HALF], [1, 1, 1], correct=1.0, incorrect=-1.0, overlong=None, max_tokens=10)
    assert rewards == (1.0, -1.0, 0.0)


def test_the_length_penalty_is_added():
    rewards = shaped_rewards(
        [RIGHT, RIGHT, WRONG],
        [4, 8, 10],
        correct=1.0,
        incorrect=0.0,
        overlong=Overlong(cache_tokens=4),
        max_tokens=10,
    )
    assert rewards == (1.0, 0.5, -1.0)


def test_a_response_that_was_not_judged_teaches_nothing():
    lost = Verdict(0.0, "1", "the sandbox failed", "infra_error")
    settings = {"correct": 1.0, "incorrect": -1.0, "overlong": None, "max_tokens": 10}
    rewards = shaped_rewards([RIGHT, lost, RIGHT, WRONG], [1] * 4, **settings)
    assert rewards == pytest.approx((1.0, 1 / 3, 1.0, -1.0))
    advantages = Grpo()(torch.tensor([rewards]), torch.ones(1, 4))
    assert advantages[0, 1].item() == pytest.approx(0, abs=1e-6)
    assert shaped_rewards([lost, lost], [1, 1], **settings) == (-1.0, -1.0)


def test_lengths_must_align():
    with pytest.raises(ValueError, match="shorter"):
        shaped_rewards([RIGHT, WRONG], [1], correct=1.0, incorrect=0.0, overlong=None, max_tokens=10)
