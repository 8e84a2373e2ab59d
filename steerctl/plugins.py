"""A spec that is also a function: discovery by folder, lookup by kind.

A plug-in is a frozen pydantic model with a `kind` equal to the name of its file. A room's `__init__.py` holds the base
class; every other module of the room that does not start with an underscore holds one subclass per kind. A new plug-in
is one new file.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema


class Strict(BaseModel):
    """Base of every part of a spec: unknown keys fail, nothing is coerced, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Plugin(Strict):
    """Base of every plug-in; subclasses narrow `kind` to a literal equal to their module's name."""

    kind: str


@cache
def registry(room: str) -> dict[str, type[Plugin]]:
    """Every plug-in of a room (e.g. "steerctl.intervention"), by kind, in alphabetical order."""
    package = importlib.import_module(room)
    found: dict[str, type[Plugin]] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{room}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__:
                default = value.model_fields["kind"].default
                if default == info.name:
                    found[info.name] = value
    return found


class AnyOf:
    """Annotation marker: the field holds any plug-in of `room`, chosen by its `kind`.

    Example: `advantage: Annotated[Advantage, AnyOf("steerctl.advantage")]`.
    """

    def __init__(self, room: str) -> None:
        self.room = room

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A tagged union over the registry, so that validation and JSON Schema know every kind."""
        classes = tuple(registry(self.room).values())
        union: Any = classes[0] if len(classes) == 1 else Annotated[Union[classes], Field(discriminator="kind")]  # noqa: UP007 (built at run time)
        return handler.generate_schema(union)
