"""What an intervention says of itself to `steerctl check`: the dials it works with, and what leaves it without effect.

Nothing here is read in a step. spec/combinations.py compares what the interventions of a list declare.

Where they never change, declarations are one line each; a property where they depend on settings:

    turns: ClassVar[Handles] = frozenset({"weight"})
    binary_fraction: Annotated[Fraction, OnlyWith(mapping="binary")] = 0.01
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Handle = Literal["rewards", "advantages", "weight", "clip_low", "clip_high", "penalty"]
"""The dials, and before them the rewards of `reshape`."""

Handles = frozenset[Handle]

CLIP: Handles = frozenset({"clip_low", "clip_high"})

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


SET: Final = object()
"""In `OnlyWith`: any value but null."""


class OnlyWith:
    """Annotation marker: the field is read only while each of these other settings has the value given here.

    A tuple stands for any of its values, `SET` for any but null. `steerctl check` warns of a field that was moved from
    its default in vain, and the generated pages say what it is read with.

    Example: `kl_horizon: Annotated[PositiveFloat, OnlyWith(kl_target=SET)] = 10_000.0`.
    """

    def __init__(self, **settings: object) -> None:
        self.settings = settings

    @property
    def words(self) -> str:
        """E.g. "mapping binary", "rule noise or margin", "kl_target"."""
        return " and ".join(
            name if wanted is SET else f"{name} {' or '.join(map(_word, _any_of(wanted)))}"
            for name, wanted in self.settings.items()
        )

    def unmet(self, plug_in: BaseModel) -> str:
        """The first setting that stands otherwise, e.g. "with mapping linear", "without kl_target"; "" if none does."""
        for name, wanted in self.settings.items():
            value = getattr(plug_in, name)
            if wanted is SET and value is None:
                return f"without {name}"
            if wanted is not SET and value not in _any_of(wanted):
                return f"with {name} {_word(value)}"
        return ""


def meaning(field: FieldInfo) -> str:
    """The docstring below a field, in one line, and with what other settings it is read at all."""
    read = [f"Read with {mark.words}." for mark in _marks(field)]
    return " ".join([*(field.description or "").split(), *read]).replace("None:", "null:")  # as it is written in YAML


def with_meanings(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """JSON Schema's descriptions of marked fields say it too."""
    for name, field in model.model_fields.items():
        if _marks(field):
            schema["properties"][name]["description"] = meaning(field)


def unread(plug_in: BaseModel) -> Iterator[str]:
    """One line for each setting that was moved from its default, and plays no part beside the others."""
    for name, field in type(plug_in).model_fields.items():
        why = next((text for mark in _marks(field) if (text := mark.unmet(plug_in))), "")
        if why and getattr(plug_in, name) != field.default:
            yield f"{name} plays no part {why}"


def _marks(field: FieldInfo) -> list[OnlyWith]:
    return [mark for mark in field.metadata if isinstance(mark, OnlyWith)]


def _any_of(wanted: object) -> tuple[object, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _word(value: object) -> str:
    """As in YAML."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
