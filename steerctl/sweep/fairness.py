"""What would make a comparison unfair, seen before anything runs: pure functions of the variants."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steerctl.intervention._remarks import CLIP
from steerctl.metrics.catalogue import metrics
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding, Findings, Level
from steerctl.sweep.load import LoadedSweep
from steerctl.sweep.plan import Variant, baseline_of

FEW_SEEDS = 3
BOUNDS = ("clip_ratio_low", "clip_ratio_high")
ALGORITHM = "algorithm"


def check_fairness(sweep: LoadedSweep, variants: Sequence[Variant]) -> list[Finding]:
    """Every finding; the path names the variant. Raises SpecError if a baseline does not exist."""
    found = [*_enough_seeds(sweep), *_known(sweep), *_measured(sweep, variants)]
    if sweep.spec.search is not None:
        return found
    for variant in variants:
        baseline = baseline_of(variant, variants, sweep)
        if baseline is None:
            continue
        found += _undeclared(variant, baseline)
        found += _secret_clip(variant, baseline, variants)
        found += _beside_the_algorithm(variant, baseline)
    return found


def difference(left: ExperimentSpec, right: ExperimentSpec) -> list[str]:
    """The settings in which two experiments differ, name, output and seed aside; a list counts as one setting."""
    one, other = _flat(left), _flat(right)
    return sorted(key for key in one.keys() | other.keys() if one.get(key, ...) != other.get(key, ...))


def clip_bounds(spec: ExperimentSpec) -> dict[str, Any]:
    """The bounds of the ratio that hold: the loss's, and over them what a clip intervention sets.

    Written down under the names of their settings; two experiments with equal entries clip alike.
    """
    loss = spec.algorithm.loss
    found: dict[str, Any] = {"clips": loss.clips}
    if loss.clips != "none":
        found |= {name: getattr(loss, name) for name in BOUNDS}
    for each in spec.algorithm.interventions:
        if each.turns and each.turns <= CLIP:
            own = {name: value for name in BOUNDS if (value := getattr(each, name, None)) is not None}
            found |= own or {each.kind: each.model_dump(mode="json")}
    return found


def _undeclared(variant: Variant, baseline: Variant) -> Findings:
    """Differences that no axis speaks of: from files, or from the defaults of another kind."""
    declared = {*variant.declared, *baseline.declared}
    silent = [key for key in difference(variant.spec, baseline.spec) if not _covered(key, declared)]
    follows = [key for key in silent if _with_its_kind(key, declared)]
    clips = [key for key in follows if key.rpartition(".")[2] in BOUNDS]
    if clips:
        values = ", ".join(f"{key} {_at(variant, key)} against {_at(baseline, key)}" for key in clips)
        text = f"clips otherwise than {baseline.name} although no axis says so: {values}"
        yield Finding("warning", variant.name, f"{text}; set it in both, or make it an axis")
    for key in sorted({*silent} - {*follows}):
        text = f"differs from {baseline.name} in {key} ({_at(variant, key)} against {_at(baseline, key)})"
        yield Finding("error", variant.name, f"{text}, which no axis says; name it in `set`, or in `differs`")


def _secret_clip(variant: Variant, baseline: Variant, variants: Sequence[Variant]) -> Findings:
    """A clip bound that changes along with what the comparison is about."""
    ours, theirs = clip_bounds(variant.spec), clip_bounds(baseline.spec)
    if ours == theirs or _without_clip(variant.spec) == _without_clip(baseline.spec):
        return
    values = ", ".join(f"{key} {ours.get(key)} against {theirs.get(key)}" for key in sorted(ours | theirs))
    alone = next((each for each in variants if _differs_by_clip_alone(each, variant, baseline)), None)
    text = f"differs from {baseline.name} in its clip bound too ({values})"
    if alone is None:
        advice = "what is found may be the bound's doing; use one bound for both, or add a variant with the bound alone"
        yield Finding("warning", variant.name, f"{text}: {advice}")
    else:
        yield Finding("note", variant.name, f"{text}; {alone.name} has this bound alone, compare with it")


def _differs_by_clip_alone(each: Variant, variant: Variant, baseline: Variant) -> bool:
    same_bound = clip_bounds(each.spec) == clip_bounds(variant.spec)
    return same_bound and _without_clip(each.spec) == _without_clip(baseline.spec)


def _beside_the_algorithm(variant: Variant, baseline: Variant) -> Findings:
    """The method and something else at once."""
    differing = difference(variant.spec, baseline.spec)
    others = [key for key in differing if key.split(".")[0] != ALGORITHM]
    if others and len(others) < len(differing):
        text = f"differs from {baseline.name} in its algorithm and in {', '.join(others)}: one cannot be told from"
        yield Finding("warning", variant.name, f"{text} the other")


def _enough_seeds(sweep: LoadedSweep) -> Findings:
    count = len(sweep.spec.seeds)
    if count < FEW_SEEDS and sweep.spec.search is None:
        text = f"{count} per variant: " + ("no interval can be given" if count == 1 else "intervals will be very wide")
        yield Finding("warning", "seeds", text)


def _known(sweep: LoadedSweep) -> Findings:
    """Every metric the sweep names is one there is."""
    spec, there = sweep.spec, metrics()
    prune = spec.search.prune if spec.search is not None else None
    for place, key in (
        ("metric", spec.metric),
        ("choose_by", spec.choose_by),
        *((("search.prune.metric", prune.metric),) if prune is not None else ()),
        *(("metrics", key) for key in spec.metrics),
        *((f"contrasts.{index}.metric", each.metric) for index, each in enumerate(spec.contrasts) if each.metric),
    ):
        if key not in there:
            near = difflib.get_close_matches(key, there, n=1)
            yield Finding(
                "error", place, f"{key} is no metric{f'; did you mean {near[0]}?' if near else ''} (docs/metrics.md)"
            )


def _measured(sweep: LoadedSweep, variants: Sequence[Variant]) -> Findings:
    """The metrics that decide are measured, at the end of the run too."""
    wanted = {sweep.spec.metric, sweep.spec.choose_by}
    if not any(key.startswith("validation/") for key in wanted):
        return
    level: Level = "error" if sweep.spec.metric.startswith("validation/") else "warning"
    for variant in variants:
        spec = variant.spec
        if spec.data.validation is None or not spec.validate_every:
            text = "validation/ metrics are wanted but not measured; give data.validation and validate_every"
            yield Finding(level, variant.name, text)
        elif spec.steps % spec.validate_every:
            text = f"the last step ({spec.steps}) has no validation: validate_every {spec.validate_every} does not"
            yield Finding(level, variant.name, f"{text} divide it")


def _without_clip(spec: ExperimentSpec) -> dict[str, Any]:
    """The experiment less everything that only sets bounds."""
    found = _flat(spec)
    for name in BOUNDS:
        found.pop(f"algorithm.loss.{name}", None)
    found["algorithm.interventions"] = [
        each.model_dump(mode="json")
        for each in spec.algorithm.interventions
        if not each.turns or not each.turns <= CLIP
    ]
    return found


def _covered(key: str, declared: set[str]) -> bool:
    """Whether an axis speaks of a setting, of a part of it, or of what it is a part of."""
    return any(key == each or key.startswith(f"{each}.") or each.startswith(f"{key}.") for each in declared)


def _with_its_kind(key: str, declared: set[str]) -> bool:
    """Whether a setting differs because the `kind` beside it does."""
    parts = key.split(".")
    return any(".".join((*parts[:length], "kind")) in declared for length in range(1, len(parts)))


def _at(variant: Variant, key: str) -> object:
    value = _flat(variant.spec).get(key, "not set")
    return value if not isinstance(value, list) else f"{len(value)} items"


def _flat(spec: ExperimentSpec) -> dict[str, Any]:
    return dict(_entries("", spec.model_dump(mode="json", exclude={"name", "output", "seed"})))


def _entries(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, below in value.items():
        place = f"{path}.{key}" if path else key
        if isinstance(below, dict) and below:
            yield from _entries(place, below)
        else:
            yield place, below
