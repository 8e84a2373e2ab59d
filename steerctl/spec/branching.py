"""Sampling some responses anew from the middle of others."""

from __future__ import annotations

from pydantic import PositiveInt

from steerctl.plugins import Strict


class BranchingSpec(Strict):
    """CURE's first stage: of each group some responses are sampled as usual, the others branch off from them.

    A branch begins where the policy was unsure: at one of the `top` tokens of highest entropy of its root response
    (the first token apart), chosen with equal odds. What the root says before that token is given to the branch as
    context: it is not trained there; verdict and length penalty look at the whole. rollout.group_size must be
    roots · (1 + branches); all of them are one group to the advantage estimator.

    Source: CURE, arXiv 2508.11016; bytedance/CURE c904b38 (`recipe/CURE_First_Stage`, with clip 0.2/0.28, dynamic
    sampling and the overlong penalty; the second stage is plain DAPO from its checkpoint).

    Departures: (1) a branch is cut where root and branch together reach rollout.max_tokens; (2) without a token to
    choose it starts at the prompt.

    Saved rollouts of such a run cannot be replayed: what a branch was given is not among them.
    """

    roots: PositiveInt = 4
    """Responses sampled from the prompt (CURE 4)."""
    branches: PositiveInt = 3
    """Responses that branch off from each of them (CURE 3)."""
    top: PositiveInt = 20
    """How many tokens of highest entropy are drawn from (CURE 20)."""
    min_characters: PositiveInt = 2
    """Tokens with a shorter text, blanks aside, are passed over (CURE 2; 1 for models of single characters)."""

    @property
    def group_size(self) -> int:
        """Responses to each problem."""
        return self.roots * (1 + self.branches)
