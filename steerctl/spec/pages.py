"""docs/config.md and docs/interventions.md, written from the models, so that they cannot be out of date."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from annotated_types import GroupedMetadata
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from steerctl.plugins import registry
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.shape import Cursor, literals

OWN_PAGE = {"algorithm.interventions": "interventions.md"}
LONGEST_DEFAULT = 160
"""Characters of a default that still fit a table."""
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
    """Every intervention: its docstring, what it costs, its settings."""
    lines = [
        GENERATED,
        "# Interventions",
        "",
        "Each is an item of `algorithm.interventions`; they are folded over the neutral dials from left to right, so",
        "their order matters and the empty list is the baseline. Symbols and shapes: [notation.md](notation.md).",
        "",
    ]
    for kind, model in registry("steerctl.intervention").items():
        lines += [f"## `{kind}`", "", "```text", inspect.cleandoc(model.__doc__ or ""), "```", ""]
        if getattr(model, "inert_when_on_policy", False):
            lines += ["Does nothing with `optim.updates_per_step: 1`: it needs a ratio away from 1.", ""]
        needs = sorted(getattr(model, "needs", ()))
        if needs:
            lines += [f"Needs from the engine: {', '.join(f'`{need}`' for need in needs)}.", ""]
        lines += [*_table("", model), ""]
    return "\n".join(lines).rstrip() + "\n"


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
        meaning = " ".join((field.description or "").split()) or (_summary(models[0]) if len(models) == 1 else "")
        yield f"| `{key}` | {_cell(_type(field))} | {_cell(_default(field))} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _summary(model: type[BaseModel]) -> str:
    """The docstring's first paragraph."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return f"`kind: {value.kind}`" if hasattr(value, "kind") else "see below"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"`{'.inf' if value == float('inf') else value:}`"
    text = json.dumps(to_jsonable_python(value), ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else f"{len(value)} items, see `steerctl check`"


_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def _type(field: FieldInfo) -> str:
    words = literals(field.annotation)
    if words:
        text = " | ".join(f"`{word}`" for word in words)
        return f"{text} | null" if type(None) in get_args(field.annotation) else text
    text = _name(field.annotation)
    bounds = _bounds(field.metadata)
    return f"{text} {', '.join(bounds)}" if bounds else text


def _bounds(metadata: list[Any]) -> list[str]:
    signs = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
    parts = [part for mark in metadata for part in (mark if isinstance(mark, GroupedMetadata) else [mark])]
    found = [(sign, getattr(part, name, None)) for part in parts for name, sign in signs]
    return [f"{sign} {bound}" for sign, bound in found if bound is not None]


def _name(annotation: Any) -> str:  # noqa: ANN401 (a type expression)
    """A type in words."""
    arguments = [part for part in get_args(annotation) if part is not Ellipsis]
    origin = get_origin(annotation)
    if annotation is type(None):
        text = "null"
    elif origin is list or (origin is tuple and Ellipsis in get_args(annotation)):
        text = f"list of {_name(arguments[0])}s"
    elif origin is tuple:
        text = f"list of {len(arguments)} numbers"
    elif origin is dict:
        text = f"mapping of {_name(arguments[1])}"
    elif Cursor(annotation).models:
        text = "mapping | null" if type(None) in arguments else "mapping"
    elif hasattr(annotation, "__metadata__"):
        text = " ".join([_name(arguments[0]), *_bounds([*annotation.__metadata__])])
    elif arguments:
        text = " | ".join(_name(part) for part in arguments)
    else:
        text = _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))
    return text
