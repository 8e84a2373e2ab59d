"""Verdicts and lengths to rewards."""

import pytest

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


def test_lengths_must_align():
    with pytest.raises(ValueError, match="shorter"):
        shaped_rewards([RIGHT, WRONG], [1], correct=1.0, incorrect=0.0, overlong=None, max_tokens=10)
