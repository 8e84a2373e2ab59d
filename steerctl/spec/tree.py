"""YAML as a tree in which every value remembers where it was written, through extends and overrides.

YAML 1.2 core scalars: `1e-6` is a number, only true and false are truth values (`off` is text), dates are text. Tags
and repeated keys are refused; size, depth and the number of values (aliases unfolded) are bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, cast

import yaml

from steerctl.errors import SpecError

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000
MAX_DIGITS = 100
NOT_YAML = "not valid YAML"
COMMAND_LINE = "command line"
"""The source of what was not written in a file."""

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file and a line, the command line (no line), or a default."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        """`file.yaml:6`, or `command line`."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the tree. A mapping's origin is that of its key, a list item's that of its first character."""

    value: dict[str, Node] | list[Node] | Scalar
    origin: Origin

    @property
    def kind(self) -> str | None:
        """The `kind` of a mapping, if it has one that is text."""
        entry = self.value.get("kind") if isinstance(self.value, dict) else None
        return entry.value if entry is not None and isinstance(entry.value, str) else None


class _Loader(yaml.SafeLoader):
    """Composes nodes only: YAML 1.2 core scalars, no explicit tags, bounded depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(None, None, f"tags such as {event.tag} are not allowed", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _NUMBER, list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class _JsonLoader(_Loader):
    """Reads what Python's json writes, too: the same, with its words for numbers that are not finite."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers.copy()


_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^(?:-?Infinity|NaN)$"), list("-IN"))


def parse(text: str, source: str) -> Node:
    """The tree of one YAML document, or of JSON if the source is so named; raises SpecError with file and line."""
    if not source.endswith(".json"):
        return _compose(text, source, line_known=True)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{source}:{error.lineno}: not valid JSON: {_uncapitalised(error.msg)}") from None
    except (RecursionError, ValueError):
        raise SpecError(f"{source}: not valid JSON: nested too deep, or a number of too many digits") from None
    try:
        return _compose(text, source, line_known=True, loader_class=_JsonLoader)
    except SpecError as error:
        if NOT_YAML not in str(error):
            raise
        return from_plain(data, Origin(source))  # JSON that YAML 1.1 cannot read, with tabs for instance: no lines


def parse_value(text: str, source: str, path: str) -> Node:
    """The tree of a value given on the command line."""
    try:
        return _compose(text, source, line_known=False)
    except SpecError as error:
        raise SpecError(f"{source}: {path}: {str(error).removeprefix(f'{source}: ')}") from None


def _compose(text: str, source: str, *, line_known: bool, loader_class: type[_Loader] = _Loader) -> Node:
    loader = None
    try:
        loader = loader_class(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(source, mark.line + 1 if mark and line_known else None)
        raise SpecError(f"{origin}: {NOT_YAML}: {_plain(error)}") from None
    except yaml.YAMLError as error:
        character = getattr(error, "character", None)
        what = f"the character {character!r} is not allowed" if character is not None else " ".join(str(error).split())
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise SpecError(f"{Origin(source, line if line_known else None)}: {NOT_YAML}: {what}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        return Node(None, Origin(source, 1 if line_known else None))
    return _Reader(source, line_known=line_known).read(root, None, 1)


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _plain(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's complaint without its positions, and a hint for the most common slip."""
    text = " ".join(part for part in (error.context, error.problem) if part) or "it cannot be read"
    return f"{text} (indent with spaces, not tabs)" if "'\\t'" in text else text


class _Reader:
    """Turns PyYAML's nodes into ours, counting values so that aliases cannot blow up."""

    def __init__(self, source: str, *, line_known: bool) -> None:
        self.source, self.line_known, self.count = source, line_known, 0

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.source, node.start_mark.line + 1 if self.line_known else None)

    def read(self, node: yaml.Node, origin: Origin | None, depth: int) -> Node:
        self.count += 1
        origin = origin or self.origin(node)
        if self.count > MAX_VALUES:
            raise SpecError(f"{origin}: more than {MAX_VALUES} values, aliases unfolded")
        if depth > MAX_DEPTH:
            raise SpecError(f"{origin}: nested more than {MAX_DEPTH} deep")
        if isinstance(node, yaml.MappingNode):
            return Node(self.entries(node, depth), origin)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(item, None, depth + 1) for item in node.value], origin)
        return Node(_scalar(cast("yaml.ScalarNode", node), origin), origin)

    def entries(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in node.value:
            origin = self.origin(key)
            name = key.value if isinstance(key.value, Hashable) else None
            if not isinstance(name, str):
                raise SpecError(f"{origin}: a key must be a word, not a mapping or a list")
            if name in entries:
                raise SpecError(f"{origin}: {name}: given twice, first on line {entries[name].origin.line}")
            entries[name] = self.read(value, origin, depth + 1)
        return entries


def _scalar(node: yaml.ScalarNode, origin: Origin) -> Scalar:
    text, tag = str(node.value), node.tag.rsplit(":", 1)[-1]
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        if len(text) > MAX_DIGITS:
            raise SpecError(f"{origin}: a number of more than {MAX_DIGITS} digits")
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if tag == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def merge(below: Node, above: Node) -> Node:
    """`above` over `below`: mappings key by key, everything else whole; a mapping with another `kind` replaces all."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    if above.kind is not None and above.kind != below.kind:
        return above
    entries = dict(below.value)
    for key, node in above.value.items():
        entries[key] = merge(entries[key], node) if key in entries else node
    return Node(entries, above.origin)


def plain(node: Node) -> Any:  # noqa: ANN401 (whatever YAML can hold)
    """The tree as dictionaries, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def from_plain(value: object, origin: Origin) -> Node:
    """The tree of dictionaries, lists and scalars that all come from one place."""
    if isinstance(value, dict):
        return Node({str(key): from_plain(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([from_plain(item, origin) for item in value], origin)
    return Node(cast("Scalar", value), origin)


def find(node: Node, path: Path) -> Node | None:
    """The value at `path`, or None."""
    for part in path:
        value = node.value
        if isinstance(value, dict):
            below = value.get(str(part))
        else:
            below = value[int(part)] if isinstance(value, list) and part in range(len(value)) else None
        if below is None:
            return None
        node = below
    return node


def nearest(node: Node, path: Path) -> Origin:
    """Where `path`, or the closest enclosing value that was written, stands."""
    for length in range(len(path), -1, -1):
        found = find(node, path[:length])
        if found is not None:
            return found.origin
    return node.origin
