"""A sweep -> its variants -> its cells, each with the whole experiment it will run."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from steerctl.errors import SpecError
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import LoadedSpec, load_spec
from steerctl.spec.tree import COMMAND_LINE
from steerctl.sweep.load import LoadedSweep
from steerctl.sweep.spec import AxisSpec, VariantSpec

MOST_CELLS = 100_000
RESERVED = {
    "name": "cells are named by the sweep",
    "output": "the sweep has its own `output`",
    "seed": "seeds are listed in the sweep's `seeds`, the same ones for every variant",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of one axis: its label, what it sets, and where it was written."""

    label: str
    settings: Mapping[str, Any]
    origin: str
    file: str | None = None
    differs: tuple[str, ...] = ()
    baseline: str | None = None

    @property
    def declared(self) -> tuple[str, ...]:
        """The settings that this entry says it changes."""
        return (*(path for key, value in self.settings.items() for path in _leaves(key, value)), *self.differs)


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of the comparison: an entry of each axis, and the experiment they make of the base."""

    name: str
    choices: tuple[Choice, ...]
    loaded: LoadedSpec

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment; its name, output and seed are the base's."""
        return self.loaded.spec

    @property
    def declared(self) -> tuple[str, ...]:
        """Every setting that its axes say they change."""
        return tuple(path for choice in self.choices for path in choice.declared)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: a variant with a seed. `id` names its run folder and never changes; e.g. "steer-seed2"."""

    id: str
    variant: str
    seed: int
    spec: ExperimentSpec

    @property
    def settings(self) -> str:
        """Changes with whatever the run depends on; places and defaults aside."""
        own = self.spec.model_dump(mode="json", exclude_defaults=True, exclude={"name", "output", "engine", "log"})
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def variants_of(sweep: LoadedSweep) -> list[Variant]:
    """The product of the axes, the last one running fastest. Raises SpecError."""
    axes = [list(_choices(axis, sweep, index)) for index, axis in enumerate(sweep.spec.axes)]
    count = 1
    for choices in axes:
        count *= len(choices)
    if count * len(sweep.spec.seeds) > MOST_CELLS:
        raise SpecError(f"{sweep.origin('axes')}: axes: {count} variants are more than a sweep can hold")
    found = [_variant(choices, sweep) for choices in itertools.product(*axes)]
    names = [variant.name for variant in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"{sweep.origin('axes')}: axes: two variants are called {twice}; give one another name")
    return found


def cells_of(sweep: LoadedSweep, variants: Sequence[Variant]) -> list[Cell]:
    """Every variant with the first seed, then with the second, and so on, so that pairs are complete early."""
    return [cell_of(sweep, each.name, each.spec, seed) for seed in sweep.spec.seeds for each in variants]


def cell_of(sweep: LoadedSweep, variant: str, spec: ExperimentSpec, seed: int) -> Cell:
    """The run of a variant with one seed, in the sweep's own folder."""
    name = f"{variant}-seed{seed}"
    place = {"name": name, "output": str(Path(sweep.spec.output, sweep.spec.name, "runs")), "seed": seed}
    return Cell(name, variant, seed, spec.model_copy(update=place))


def baseline_of(variant: Variant, variants: Sequence[Variant], sweep: LoadedSweep) -> Variant | None:
    """What a variant is compared with, None if it is the baseline itself.

    A baseline that is the label of one axis stands for the variant that differs in this axis alone.

    Raises:
        SpecError: no variant is so called.
    """
    own = next((choice.baseline for choice in variant.choices if choice.baseline), None)
    wanted = own or sweep.spec.baseline or variants[0].name
    named = next((each for each in variants if each.name == wanted), None)
    for index in range(len(variant.choices)):
        if named is not None:
            break
        labels = [choice.label for choice in variant.choices]
        labels[index] = wanted
        named = next((each for each in variants if [choice.label for choice in each.choices] == labels), None)
    if named is None:
        names = [each.name for each in variants]
        raise SpecError(f"{sweep.origin('baseline')}: baseline: {no_variant(wanted, names)}")
    return None if named.name == variant.name else named


def check_contrasts(sweep: LoadedSweep, variants: Sequence[Variant]) -> None:
    """Raises SpecError for a planned contrast of something that is no variant, or of a variant with itself."""
    names = [each.name for each in variants]
    for index, contrast in enumerate(sweep.spec.contrasts):
        where = f"contrasts.{index}"
        for key, name in (("variant", contrast.variant), ("baseline", contrast.baseline)):
            if name is not None and name not in names:
                place = sweep.origin("contrasts", index, key)
                raise SpecError(f"{place}: {where}.{key}: {no_variant(name, names)}")
        own = variants[names.index(contrast.variant)]
        itself = (
            baseline_of(own, variants, sweep) is None if contrast.baseline is None else contrast.baseline == own.name
        )
        if itself:
            place = sweep.origin("contrasts", index)
            raise SpecError(f"{place}: {where}: {own.name} would be compared with itself; name another baseline")


def no_variant(name: str, names: Sequence[str]) -> str:
    """`no variant is called ster; did you mean steer?`."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:8])}"
    return f"no variant is called {name or '(nothing)'}; {hint}"


def searched(sweep: LoadedSweep, params: Mapping[str, Any]) -> LoadedSpec:
    """The base with the settings that a search has chosen. Raises SpecError."""
    settings = [as_override(key, value) for key, value in params.items()]
    return _load(sweep.base, sweep, settings, sweep.origin("search", "space"))


def as_override(key: str, value: object) -> str:
    """`optim.lr=0.0002`, as the command line would say it."""
    text = yaml.safe_dump([value], default_flow_style=True, width=10**9, allow_unicode=True).strip()
    return f"{key}={text[1:-1]}"


def _choices(axis: AxisSpec, sweep: LoadedSweep, index: int) -> Iterator[Choice]:
    for number, each in enumerate(axis.variants or ()):
        yield _listed(each, sweep.origin("axes", index, "variants", number))
    for room, combine in (("grid", itertools.product), ("zip", zip)):
        settings: Mapping[str, Sequence[Any]] = getattr(axis, room) or {}
        origin = sweep.origin("axes", index, room)
        for values in combine(*settings.values()) if settings else ():
            chosen = dict(zip(settings, values, strict=True))
            yield Choice(_label(chosen), _checked(chosen, origin), origin)


def _listed(each: VariantSpec, origin: str) -> Choice:
    differs = tuple(each.differs) if each.file is not None else ()
    return Choice(each.name, _checked(each.set, origin), origin, each.file, differs, each.baseline)


def _checked(settings: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    for key in settings:
        if key.split(".")[0] in RESERVED:
            raise SpecError(f"{origin}: {key} cannot be varied here: {RESERVED[key.split('.')[0]]}")
    return settings


def _variant(choices: tuple[Choice, ...], sweep: LoadedSweep) -> Variant:
    name = "-".join(choice.label for choice in choices) or "base"
    files = [choice for choice in choices if choice.file is not None]
    if len(files) > 1:
        raise SpecError(f"{files[1].origin}: {name}: two axes name a file; only one can stand for the base")
    path = sweep.beside(files[0].file or "") if files else sweep.base
    settings = [as_override(key, value) for choice in choices for key, value in choice.settings.items()]
    where = choices[-1].origin if choices else sweep.origin("base")
    return Variant(name, choices, _load(path, sweep, settings, f"{where}: {name}"))


def _load(path: Path, sweep: LoadedSweep, settings: Sequence[str], where: str) -> LoadedSpec:
    typed = [each.partition("=")[0].strip() for each in sweep.experiment_overrides]
    try:
        return load_spec(path, [*sweep.experiment_overrides, *settings])
    except SpecError as error:
        lines = [_placed(line, typed, where) for line in str(error).splitlines()]
        raise SpecError("\n".join(dict.fromkeys(lines))) from None


def _placed(line: str, typed: Sequence[str], where: str) -> str:
    """A setting of the sweep's goes to the loader as if it had been typed; what really was typed stays so."""
    path = line.removeprefix(f"{COMMAND_LINE}: ").partition(":")[0]
    own = any(path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in typed)
    return line if own else line.replace(f"{COMMAND_LINE}: ", f"{where}: ")


def _leaves(key: str, value: object) -> list[str]:
    """The settings that a change touches; a mapping is merged, so only what is in it."""
    if isinstance(value, dict) and value:
        return [leaf for name, below in value.items() for leaf in _leaves(f"{key}.{name}", below)]
    return [key]


def _label(settings: Mapping[str, Any]) -> str:
    """`lr-0.0002-group_size-8`."""
    return "-".join(f"{_last_word(key)}-{_short(value)}" for key, value in settings.items())


def _last_word(key: str) -> str:
    return next((part for part in reversed(key.split(".")) if not part.isdecimal()), key)


def _short(value: object) -> str:
    """A value as part of a file name."""
    if isinstance(value, dict) and "kind" in value:
        value = value["kind"]
    if isinstance(value, list):
        return "+".join(_short(item) for item in value).replace("+", "_") or "none"
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_") or "x"
