"""What may stand where in an experiment: a cursor over the models that knows plug-in rooms and defaults."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from steerctl.plugins import AnyOf, registry
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.tree import Node, Origin, Path, from_plain, merge

DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the experiment: the type that belongs there, and the default, if there is one."""

    annotation: Any
    default: Any = None

    @property
    def models(self) -> dict[str, type[BaseModel]]:
        """The models that may stand here, by kind (by class name where a model has no kind)."""
        found = {}
        for model in _models(self.annotation):
            field = model.model_fields.get("kind")
            found[model.__name__ if field is None else str(field.default)] = model
        return found

    @property
    def item(self) -> Any:  # noqa: ANN401 (a type expression)
        """The type of an item, if a list or tuple belongs here; else None."""
        for part in _alternatives(self.annotation):
            if get_origin(part) in (list, tuple):
                return get_args(part)[0]
        return None

    def model(self, kind: str | None) -> type[BaseModel] | None:
        """The model chosen by `kind`, by the default, or because there is only one."""
        models = self.models
        if kind is None and isinstance(self.default, BaseModel):
            return type(self.default)
        return next(iter(models.values())) if len(models) == 1 else models.get(kind or "")

    def child(self, part: str | int, kind: str | None) -> Cursor | None:
        """The place below: a field of the model that `kind` chooses, or a list's item; None if there is none."""
        if isinstance(part, int):
            items = self.default if isinstance(self.default, list | tuple) else ()
            return Cursor(self.item, items[part] if part < len(items) else None) if self.item is not None else None
        model = self.model(kind)
        field = model.model_fields.get(part) if model is not None else None
        if model is None or field is None:
            return None
        if type(self.default) is model:
            return Cursor(_annotation(field), getattr(self.default, part))
        return Cursor(_annotation(field), _default(field))


ROOT = Cursor(ExperimentSpec)


def _annotation(field: FieldInfo) -> Any:  # noqa: ANN401 (a type expression)
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 (any default)
    value = field.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else value


def _alternatives(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 (a type expression)
    """The members of a union, each without its annotations; a plain type is its own only member."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 (a type expression)
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        rooms = [mark.room for mark in marks if isinstance(mark, AnyOf)]
        for room in rooms:
            yield from registry(room).values()
        if not rooms:
            yield from _models(inner)
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _models(part)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def literals(annotation: Any) -> list[str]:  # noqa: ANN401 (a type expression)
    """The words a field may hold, if it holds only certain words."""
    return [str(word) for part in _alternatives(annotation) if get_origin(part) is Literal for word in get_args(part)]


def with_kinds(node: Node, cursor: Cursor = ROOT) -> Node:
    """The tree with the default's `kind` written into every mapping that leaves it out and has a default."""
    if isinstance(node.value, list):
        below = [cursor.child(index, None) for index in range(len(node.value))]
        return Node(
            [with_kinds(item, at) if at else item for item, at in zip(node.value, below, strict=True)], node.origin
        )
    if not isinstance(node.value, dict):
        return node
    if "kind" not in node.value:
        model = cursor.model(None)
        if model is not None and "kind" in model.model_fields:
            written: dict[str, Any] = {"kind": model.model_fields["kind"].default}
            if isinstance(cursor.default, BaseModel):
                written |= cursor.default.model_dump(mode="json", exclude_defaults=True)
            node = merge(from_plain(written, DEFAULT), node)
    entries: Mapping[str, Node] = node.value if isinstance(node.value, dict) else {}
    filled = {}
    for key, value in entries.items():
        at = cursor.child(key, node.kind)
        filled[key] = with_kinds(value, at) if at else value
    return Node(filled, node.origin)


def known_paths(cursor: Cursor = ROOT, path: Path = ()) -> Iterator[tuple[Path, str | None]]:
    """Every key of the experiment with the kind it belongs to; a list is shown by its item 0."""
    models = cursor.models
    if cursor.item is not None:
        yield from known_paths(Cursor(cursor.item), (*path, 0))
    for kind, model in models.items():
        for name, field in model.model_fields.items():
            yield (*path, name), kind if "kind" in model.model_fields else None
            yield from known_paths(Cursor(_annotation(field)), (*path, name))
