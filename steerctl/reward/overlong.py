"""DAPO's soft penalty on over-long responses, and the settings it has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from steerctl.errors import SpecError
from steerctl.plugins import Strict


class Overlong(Strict):
    """The reward falls linearly over the last tokens before the limit."""

    cache_tokens: PositiveInt
    """The penalty starts this many tokens before max_tokens (DAPO: 4096 before 20480)."""
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What is subtracted from the reward at max_tokens."""

    def penalty(self, length: int, max_tokens: int) -> float:
        """What is added to the reward of a response of `length` tokens.

        `min(0, -(length - (max_tokens - cache_tokens)) / cache_tokens * factor)`, at least -factor.

        Raises SpecError if cache_tokens exceeds max_tokens.
        Source: DAPO (arXiv 2503.14476) equation 13; verl, `verl/workers/reward_manager/dapo.py`.
        """
        start = max_tokens - self.cache_tokens
        if start < 0:
            raise SpecError(
                f"reward.overlong.cache_tokens: {self.cache_tokens} is more than rollout.max_tokens ({max_tokens}); "
                "every response would be penalised; lower it"
            )
        excess = min(max(length - start, 0), self.cache_tokens)
        return -self.factor * excess / self.cache_tokens if excess else 0.0
