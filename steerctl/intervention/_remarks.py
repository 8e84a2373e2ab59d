"""What an intervention says of itself to `steerctl check`: the dials it works with, and what leaves it without effect.

Nothing here is read in a step. spec/combinations.py compares what the interventions of a list declare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Handle = Literal["rewards", "advantages", "weight", "clip_low", "clip_high", "penalty"]
"""The dials, and before them the rewards of `reshape`."""

CLIP: frozenset[Handle] = frozenset({"clip_low", "clip_high"})

Clips = Literal["token", "weight", "sequence", "none"]
"""What a loss does at its bounds; see `loss.Surrogate.clips`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The rest of the experiment, as far as it decides whether an intervention does anything.

    steps  of the whole run
    loss   the loss's kind, e.g. "ppo_clip"
    clips  what it does at its bounds
    """

    steps: int
    updates_per_step: int
    group_size: int
    reduction: str
    loss: str
    clips: Clips
    dynamic_sampling: bool

    @property
    def on_policy(self) -> bool:
        """Whether every update is the first after sampling, so that the ratio is exactly 1."""
        return self.updates_per_step == 1


def indicator_remarks(around: Surroundings, advice: str) -> Iterator[str]:
    """Of one that takes tokens past the dials' bounds for tokens without gradient, where the loss sees it otherwise."""
    if around.on_policy or around.clips == "token":
        return
    why = {
        "none": "does not clip at all",
        "weight": "leaves clipped tokens their gradient",
        "sequence": "holds its bounds against the response's ratio, not the token's",
    }[around.clips]
    yield f"counts tokens past the clip bounds as without gradient, but loss {around.loss} {why}; {advice}"


def denominator_remarks(around: Surroundings, setting: str) -> Iterator[str]:
    """Of one whose rescaling of weights means what it says under token_mean only."""
    if around.reduction != "token_mean":
        text = "it undoes token_mean's division by all tokens, under this one it is only a common factor on the step"
        yield f"{setting} has another meaning with algorithm.reduction {around.reduction}: {text}"


def group_remarks(around: Surroundings) -> Iterator[str]:
    """Of one that compares the responses to a problem."""
    if around.group_size == 1:
        yield "compares the responses to a problem: with rollout.group_size 1 there is nothing to compare"


def uniform_groups_remarks(around: Surroundings) -> Iterator[str]:
    """Of one that learns from groups that are all right or all wrong."""
    if around.dynamic_sampling:
        yield "would learn from groups that are all right or all wrong too, but rollout.dynamic_sampling replaces those"


def unread(settings: dict[str, bool], why: str) -> Iterator[str]:
    """One line for each setting that was moved from its default, and plays no part."""
    for name, moved in settings.items():
        if moved:
            yield f"{name} plays no part {why}"
