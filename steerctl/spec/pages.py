"""docs/config.md and docs/interventions.md, written from the models, so that they cannot be out of date."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from steerctl.intervention._remarks import meaning
from steerctl.plugins import registry
from steerctl.spec.cards import ROOMS, Card, cards
from steerctl.spec.effects import MeasuredEffect, read_effects
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.settings import default_words, type_words
from steerctl.spec.shape import Cursor

OWN_PAGE = {"algorithm.interventions": "interventions.md"}
GENERATED = "<!-- Written by `make docs`; edit the docstrings it comes from. -->"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {"config.md": config_page(), "interventions.md": interventions_page()}


def config_page() -> str:
    """Every key of an experiment file: type, default, meaning."""
    lines = [
        GENERATED,
        "# The experiment file",
        "",
        "One YAML file per experiment. `extends: other.yaml` (relative to the file) takes everything from another one;",
        "the command line goes last: `steerctl train exp.yaml optim.lr=2e-6 algorithm.interventions.0.weight_min=0.6`.",
        "Order: default < extends < file < command line. Mappings merge key by key, lists are replaced whole, and a",
        "mapping whose `kind` changes replaces the other one entirely. Scalars are those of YAML 1.2: `1e-6` is a",
        "number, only `true` and `false` are truth values; `.inf` is infinity. `steerctl check` shows the result with",
        "every default, `steerctl schema` writes the JSON Schema for editors.",
        "",
    ]
    lines += _section("Top level", "", ExperimentSpec)
    for name, field in ExperimentSpec.model_fields.items():
        for model in Cursor(_annotation(field)).models.values():
            lines += _section(f"`{name}`", name, model)
    return "\n".join(lines).rstrip() + "\n"


def interventions_page() -> str:
    """Every intervention: what it touches and does, its docstring, what it costs, its settings."""
    effects = read_effects()
    lines = [*_INTERVENTIONS, *_overview(effects)]
    for kind, model in registry("steerctl.intervention").items():
        card = cards("intervention")[kind]
        lines += [f"## `{kind}`", "", card.idea, "", _facts(card), "", "```text", card.text, "```", ""]
        if getattr(model, "inert_when_on_policy", False):
            lines += ["Does nothing with `optim.updates_per_step: 1`: it needs a ratio away from 1.", ""]
        needs = sorted(getattr(model, "needs", ()))
        if needs:
            lines += [f"Needs from the engine: {', '.join(f'`{need}`' for need in needs)}.", ""]
        effect = effects.get(("intervention", kind))
        lines += [f"Measured: {effect.sentence if effect else 'not measured'}", "", *_table("", model), ""]
    return "\n".join(lines).rstrip() + "\n"


_INTERVENTIONS = (
    GENERATED,
    "# Interventions",
    "",
    "Each is an item of `algorithm.interventions`; they are folded over the neutral dials from left to right, so",
    "their order matters and the empty list is the baseline. Symbols and shapes: [notation.md](notation.md). Your own:",
    "[plugins.md](plugins.md). On the command line: `steerctl interventions`, `steerctl interventions steer`.",
    "",
    "## All at a glance",
    "",
    "Factors that decide an update's effect on entropy, and which of them a method touches: **C**lip, **A**dvantage,",
    "**P**robability of the token, **E**ntropy of its state. *Scope*: the tokens behind its statistics by default, -",
    "if none. *Denominator*: what `token_mean` divides by. *ΔH, Δ accuracy*: against GRPO at equal seed, everything at",
    "its default, at the end of twelve steps in the tiny world, mean and 95% interval over the seeds. Defaults are of",
    "papers and codes, made for other models: an interval around 0 says that nothing shows *here*. How it was done:",
    "[experiments/interventions](../experiments/interventions/README.md).",
    "",
)


def _overview(effects: dict[tuple[str, str], MeasuredEffect]) -> Iterator[str]:
    """A table per room, interventions first."""
    titles = {"intervention": "Interventions", "loss": "Losses", "advantage": "Advantage estimators"}
    for room in ROOMS:
        if room != "intervention":
            yield from (f"{titles[room]} ([settings](config.md#algorithm)):", "")
        yield from (
            "| kind | CAPE | scope | denominator | ΔH, nats | Δ accuracy | idea |",
            "|---|---|---|---|---|---|---|",
        )
        for card in cards(room).values():
            effect = effects.get((room, card.kind))
            absent = "the baseline | " if (room, card.kind) in _BASELINE else "not measured | "
            measured = f"{effect.entropy} | {effect.accuracy}" if effect else absent
            name = f"[`{card.kind}`](#{card.kind})" if room == "intervention" else f"`{card.kind}`"
            row = (name, card.factors or "-", card.scope, card.denominator, measured, _cell(card.idea))
            yield f"| {' | '.join(row)} |"
        yield ""
    others = {kind: effect for (room, kind), effect in effects.items() if room == "spec"}
    if others:
        yield from ("Settings that are no plug-in:", "", "| experiment | ΔH, nats | Δ accuracy |", "|---|---|---|")
        for name, effect in others.items():
            link = f"[{name}](../experiments/interventions/{name}.yaml)"
            yield f"| {link} | {effect.entropy} | {effect.accuracy} |"
        yield ""


_BASELINE = (("loss", "ppo_clip"), ("advantage", "grpo"))


def _facts(card: Card) -> str:
    return f"Factors: {card.factors or 'none'}. Scope: {card.scope}. Denominator: {card.denominator}."


def _annotation(field: FieldInfo) -> Any:  # noqa: ANN401 (a type expression)
    return field.rebuild_annotation()


def _section(title: str, path: str, model: type[BaseModel], depth: int = 2) -> Iterator[str]:
    """A model's keys, then those of the models below it."""
    yield from (f"{'#' * min(depth, 6)} {title}", "", _summary(model), "")
    yield from _table(path, model)
    yield ""
    if not path:
        return
    shown: dict[tuple[str, ...], str] = {}
    for name, field in model.model_fields.items():
        below = f"{path}.{name}"
        if below in OWN_PAGE:
            yield from (f"### `{below}`", "", f"A list; every kind is on [its own page]({OWN_PAGE[below]}).", "")
            continue
        annotation = _annotation(field)
        item = Cursor(annotation).item
        models = Cursor(annotation if item is None else item).models
        if tuple(models) in shown:
            yield from (f"### `{below}`", "", f"The same kinds as `{shown[tuple(models)]}`.", "")
            continue
        if models:
            shown[tuple(models)] = below
        for kind, part in models.items():
            heading = f"`{below}` with `kind: {kind}`" if "kind" in part.model_fields else f"`{below}`"
            yield from _section(heading, below if item is None else f"{below}.0", part, depth + 1)


def _table(path: str, model: type[BaseModel]) -> Iterator[str]:
    rows = [(name, field) for name, field in model.model_fields.items() if name != "kind"]
    if not rows:
        yield "No settings."
        return
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for name, field in rows:
        key = f"{path}.{name}" if path else name
        models = [*Cursor(_annotation(field)).models.values()]
        text = meaning(field) or (_summary(models[0]) if len(models) == 1 else "")
        yield f"| `{key}` | {_cell(type_words(field))} | {_cell(default_words(field))} | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _summary(model: type[BaseModel]) -> str:
    """The docstring's first paragraph."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())
