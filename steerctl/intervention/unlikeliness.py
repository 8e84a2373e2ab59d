"""Unlikeliness reward: among right responses, the likelier ones earn less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from steerctl.intervention import Intervention
from steerctl.intervention._remarks import Handles, Surroundings, group_remarks, uniform_groups_remarks
from steerctl.types import Rollout, RolloutGroup


class Unlikeliness(Intervention):
    """R_i *= 1 − β·(G − rank_i)/G where R_i > 0, rank 1 the likeliest response of its group and G the least likely.

    The likeliest right response loses a share β(G − 1)/G of its reward, the least likely nothing; the order counts
    wrong responses too. The advantages then follow from the estimator: a group that is all right has unequal rewards
    now, and with GRPO's deviation a spread of size β becomes one of size 1 (with dr_grpo it stays β). Factors touched:
    advantage, and probability, that of the response.

    likelihood  length_mean  mean log-probability of the response's tokens (released code)
                sequence     their sum, the log-probability of the response (paper)

    Source: arXiv 2506.02355; AndreHe02/rewarding-unlikely-release (β 0.25, G 32, ppo_epochs 2, KL in the loss 0.1;
    the paper says that the last two matter).

    Departures: (1) log-probabilities are the sampler's, theirs the trainer's at the start of the step, which do not
    exist yet when rewards are shaped; (2) responses of equal likelihood, such as equal ones, share the mean of their
    ranks; (3) rewards below 0 stay, so that a wrong response is not spared with rewards ±1; theirs are 0 and 1.
    """

    kind: Literal["unlikeliness"] = "unlikeliness"
    turns: ClassVar[Handles] = frozenset({"rewards"})
    beta: Annotated[float, Field(ge=0, le=1)] = 0.25
    """β (paper 0.25)."""
    likelihood: Literal["length_mean", "sequence"] = "length_mean"
    """What responses are ranked by."""

    def remarks(self, around: Surroundings) -> Iterator[str]:
        """No coefficient, or groups it does not see."""
        if self.beta == 0:
            yield "does nothing with beta 0"
        yield from group_remarks(around)
        yield from uniform_groups_remarks(around)

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups with the rewards of right responses lowered."""
        return [replace(group, rewards_G=self._rewards(group)) for group in groups]

    def _rewards(self, group: RolloutGroup) -> tuple[float, ...]:
        keys_G = [self._key(rollout) for rollout in group.rollouts]
        size = len(keys_G)
        shaped = []
        for key, reward in zip(keys_G, group.rewards_G, strict=True):
            likelier, alike = sum(other > key for other in keys_G), sum(other == key for other in keys_G)
            rank = likelier + (alike + 1) / 2
            shaped.append(reward * (1 - self.beta * (size - rank) / size) if reward > 0 else reward)
        return tuple(shaped)

    def _key(self, rollout: Rollout) -> float:
        total = float(rollout.logprobs_T.sum(dtype="float64"))
        return total / max(len(rollout.logprobs_T), 1) if self.likelihood == "length_mean" else total
