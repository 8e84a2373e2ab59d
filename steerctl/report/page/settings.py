"""Methods as changes to their baseline: a plug-in that is not there is one change, not one per setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KIND = ".kind"
CLIPS = ("clip_ratio_low", "clip_ratio_high")
ABSENT = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs, as text: `algorithm.loss.clip_ratio_high`, 0.2, 0.28."""

    path: str
    before: str
    after: str


def changes(base: Mapping[str, Any], other: Mapping[str, Any]) -> list[Change]:
    """Every setting in which two experiments differ, in the order of the first and then the second."""
    whole = _replaced(base, other)
    found: dict[str, Change] = {}
    for path in dict.fromkeys([*base, *other]):
        parent = next((each for each in whole if path.startswith(f"{each}.")), None)
        if parent is not None:
            found.setdefault(parent, Change(parent, plug_in(base, parent), plug_in(other, parent)))
        elif base.get(path, ABSENT) != other.get(path, ABSENT):
            found[path] = Change(path, written(base.get(path, ABSENT)), written(other.get(path, ABSENT)))
    return list(found.values())


def clip_also(found: list[Change]) -> bool:
    """Whether a bound of the clip differs besides something else."""
    own = [change for change in found if change.path.rpartition(".")[2] in CLIPS]
    return bool(own) and len(own) < len(found)


def plug_in(settings: Mapping[str, Any], parent: str) -> str:
    """`steer {estimator: exact, weight_min: 0.7}`."""
    below = {
        path.removeprefix(f"{parent}."): value for path, value in settings.items() if path.startswith(f"{parent}.")
    }
    kind = below.pop("kind", None)
    if kind is None:
        return ABSENT
    inner = ", ".join(f"{path}: {written(value)}" for path, value in below.items())
    return f"{kind} {{{inner}}}" if inner else str(kind)


def written(value: object) -> str:
    """As YAML says it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _replaced(base: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Places of plug-ins whose kind differs, outermost first."""
    kinds = [path for path in dict.fromkeys([*base, *other]) if path.endswith(KIND)]
    return sorted(path.removesuffix(KIND) for path in kinds if base.get(path) != other.get(path))
