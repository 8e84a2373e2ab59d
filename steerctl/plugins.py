"""A spec that is also a function: discovery by folder, lookup by kind.

A plug-in is a frozen pydantic model with a `kind` equal to the name of its file. A room's `__init__.py` holds the base
class; every other module of the room that does not start with an underscore holds one subclass per kind. A new plug-in
is one new file.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
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
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))
    found = {name: _plugin_in(importlib.import_module(f"{room}.{name}"), name) for name in names}
    return {name: plugin for name, plugin in found.items() if plugin is not None}


def _plugin_in(module: ModuleType, kind: str) -> type[Plugin] | None:
    """The class of this kind that the module itself defines."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Plugin)]
    own = [value for value in classes if value.__module__ == module.__name__]
    return next((value for value in own if value.model_fields["kind"].default == kind), None)


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
