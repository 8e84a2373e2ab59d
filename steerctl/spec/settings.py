"""A field in words: its type, its default, its meaning, for the generated pages and the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from annotated_types import GroupedMetadata
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from steerctl.intervention._remarks import meaning
from steerctl.plugins import registry
from steerctl.spec.shape import Cursor, literals

LONGEST_DEFAULT = 160
"""Characters of a default that still fit a table."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One key in plain words, e.g. weight_min: "number >= 0, <= 1", "0.7", "λ_min (v4 §6.1; scripts 0.8)."."""

    key: str
    type: str
    default: str
    meaning: str


def setting_rows(room: str, kind: str) -> list[SettingRow]:
    """The settings of one method of a room, e.g. "intervention", "steer"."""
    fields = registry(f"steerctl.{room}")[kind].model_fields
    return [
        SettingRow(
            name,
            type_words(field).replace("`", ""),
            default_words(field).replace("`", ""),
            meaning(field),
        )
        for name, field in fields.items()
        if name != "kind"
    ]


def default_words(field: FieldInfo) -> str:
    """The default as it would be written, in Markdown."""
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


def type_words(field: FieldInfo) -> str:
    """What may stand there, in Markdown."""
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
