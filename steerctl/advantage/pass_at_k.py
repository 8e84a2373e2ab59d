"""Pass@k training: credit for the chance that k samples hold a right one, in closed form."""

from __future__ import annotations

from math import comb
from typing import Annotated, Literal

import torch
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor

from steerctl.advantage import Advantage
from steerctl.errors import SpecError


class PassAtK(Advantage):
    """The mean credit of a response over all groups of k that the G samples form, a group earning 1 if one is right.

        ρ = 1 − C(m, k)/C(G, k)      σ = √(ρ(1 − ρ))      m of G samples are wrong
        right  A = (1 − ρ)/(σ + ε)
        wrong  A = (1 − ρ − C(m − 1, k − 1)/C(G − 1, k − 1))/(σ + ε)

    rewards_PG [P, G] -> [P, G] float32; right is a reward above `right_above`. The advantages of a group add up to 0.
    All of them are 0 in a group that is all right, all wrong, or has fewer than k wrong samples: the larger k, the more
    hard problems weigh beside easy ones. k = 1 is GRPO with the population deviation.

    Source: arXiv 2508.10751; RUCAIBox/Passk_Training `code/passk_adv.py` (ε 1e-6, rewards 0 and 1).

    Departures: (1) shaped rewards count as right or wrong, theirs pass through unless exactly 0 or 1; (2) the default k
    is ours: theirs was not found. Raises SpecError unless k is below G: with one group of k there is no comparison.
    """

    kind: Literal["pass_at_k"] = "pass_at_k"
    k: PositiveInt = 4
    """Samples of which one must be right (ours); less than rollout.group_size."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to the deviation (code 1e-6)."""
    right_above: FiniteFloat = 0.0
    """A reward above this is right: fits rewards 1 and 0, and 1 and −1."""

    @property
    def least_group_size(self) -> int:
        """More than k: a single group of k has nothing to be compared with."""
        return self.k + 1

    def __call__(self, rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:  # noqa: ARG002 (length does not matter)
        """Advantages [P, G]."""
        size = rewards_PG.shape[1]
        if size < self.least_group_size:
            raise SpecError(f"algorithm.advantage.k: {self.k} must be below rollout.group_size ({size}); lower it")
        right_PG = rewards_PG > self.right_above
        credit_KS = torch.tensor([self._credit(wrong, size) for wrong in range(size + 1)], dtype=torch.float64)
        credit_PK = credit_KS.to(rewards_PG.device)[(~right_PG).sum(dim=1)]
        return torch.where(right_PG, credit_PK[:, :1], credit_PK[:, 1:]).float()

    def _credit(self, wrong: int, size: int) -> tuple[float, float]:
        """Of a right and of a wrong response."""
        failure = comb(wrong, self.k) / comb(size, self.k)
        own_failure = comb(wrong - 1, self.k - 1) / comb(size - 1, self.k - 1) if wrong else 0.0
        scale = (failure * (1 - failure)) ** 0.5 + self.epsilon
        return failure / scale, (failure - own_failure) / scale
