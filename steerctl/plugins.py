"""A spec that is also a function: discovery by folder, lookup by kind.

A plug-in is a frozen pydantic model with a `kind` equal to the name of its file. A room's `__init__.py` holds the base
class; every other module of the room that does not start with an underscore holds one subclass per kind. A new plug-in
is one new file; it may lie in this package, in a folder of the user's, or in an installed package (extensions.py).
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from steerctl.errors import UserError
from steerctl.extensions import Extension, extensions, room_folders


class Strict(BaseModel):
    """Base of every part of a spec: unknown keys fail, nothing is coerced, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Plugin(Strict):
    """Base of every plug-in; subclasses narrow `kind` to a literal equal to their module's name."""

    kind: str


@cache
def registry(room: str) -> dict[str, type[Plugin]]:
    """Every plug-in of a room (e.g. "steerctl.intervention"), by kind, in alphabetical order.

    Raises:
        UserError: a plug-in from outside cannot be loaded, or bears a name that is taken.
    """
    package = importlib.import_module(room)
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))
    found = {name: _plugin_in(importlib.import_module(f"{room}.{name}"), name) for name in names}
    known = {name: plugin for name, plugin in found.items() if plugin is not None}
    package.__path__.extend(str(folder.absolute()) for folder in room_folders(room))
    for each in extensions(room):
        if each.name in known or each.name in names:
            raise UserError(f"{each.origin}: the name {each.name} is taken in {room}; give it another")
        known[each.name] = _load(each, package)
    return dict(sorted(known.items()))


def _load(extension: Extension, package: ModuleType) -> type[Plugin]:
    """The class of a plug-in from outside, which must be what the room is made of."""
    module, _, attribute = (extension.module or f"{package.__name__}.{extension.name}").partition(":")
    try:
        loaded = importlib.import_module(module)
        plugin = getattr(loaded, attribute) if attribute else _plugin_in(loaded, extension.name)
    except Exception as error:  # (whatever someone else's code raises)
        reason = " ".join(str(error).split())
        raise UserError(f"{extension.origin}: cannot be loaded: {type(error).__name__}: {reason}") from error
    bases = [value for value in vars(package).values() if isinstance(value, type) and issubclass(value, Plugin)]
    base = next(value for value in bases if value.__module__ == package.__name__)
    if not (isinstance(plugin, type) and issubclass(plugin, base) and _kind(plugin) == extension.name):
        raise UserError(
            f"{extension.origin}: holds no subclass of {package.__name__}.{base.__name__} with "
            f'kind: Literal["{extension.name}"] = "{extension.name}"'
        )
    return plugin


def _kind(plugin: type[Plugin]) -> object:
    return plugin.model_fields["kind"].default


def _plugin_in(module: ModuleType, kind: str) -> type[Plugin] | None:
    """The class of this kind that the module itself defines."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Plugin)]
    own = [value for value in classes if value.__module__ == module.__name__]
    return next((value for value in own if _kind(value) == kind), None)


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
