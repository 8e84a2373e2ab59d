"""An experiment file, what it extends and the command line -> ExperimentSpec.

Order: default < extends < file < command line. Mappings merge key by key, lists are replaced whole, and a mapping whose
`kind` changes replaces the other one entirely.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from steerctl.errors import SpecError
from steerctl.spec import tree
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.explain import dotted, explain, named_paths
from steerctl.spec.shape import ROOT, Cursor, with_kinds
from steerctl.spec.tree import COMMAND_LINE, Node, Origin

SUFFIXES = (".yaml", ".yml", ".json")
_ADVICE = {
    errno.EISDIR: "; name an experiment file in it",
    errno.ENOTDIR: "; a part of this path is a file",
    errno.ENAMETOOLONG: "; check what was meant",
    errno.EACCES: "; change its permissions, or copy it",
}


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """An experiment and where every value of it was written.

    spec       the experiment, validated
    files      the file and what it extends, nearest first
    overrides  the command line's, in order
    written    what was written, merged; defaults are not in it
    """

    spec: ExperimentSpec
    files: tuple[Path, ...]
    overrides: tuple[str, ...]
    written: Node

    def origin(self, path: str) -> Origin:
        """Where `path` (e.g. "optim.lr"), or the closest value around it, was written."""
        return tree.nearest(self.written, parse_path(path))

    def blame(self, path: str, text: str) -> str:
        """Where what `text` says of `path` comes from: `file.yaml:6`, or the override that it is due to."""
        at = parse_path(path)
        own = tree.nearest(self.written, at)
        if own.source == COMMAND_LINE:
            return str(own)
        for named in named_paths(text):
            for each in (named, (*at[:-1], *named), (*at, *named)):
                found = tree.find(self.written, each)
                if found is not None and found.origin.source == COMMAND_LINE:
                    return f"{COMMAND_LINE}: {dotted(each)}"
        return str(own)


def load_spec(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> LoadedSpec:
    """The experiment in a YAML file, with overrides such as `optim.lr=2e-6`. Raises SpecError, one line per fault."""
    if not os.fspath(path).strip():
        raise SpecError("the name of the experiment file is empty; write one, such as experiments/quickstart/grpo.yaml")
    layers = _read_chain(Path(path))
    node = Node({}, layers[0].origin)
    for layer in reversed(layers):
        node = with_kinds(tree.merge(node, layer))
    files = tuple(Path(layer.origin.source) for layer in layers)
    return _overridden(Node(node.value, layers[0].origin), files, overrides)


def spec_from(settings: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> LoadedSpec:
    """The experiment in these settings, which `source` stands for in errors, with overrides. Raises SpecError."""
    return _overridden(with_kinds(tree.from_plain(settings, Origin(source))), (), overrides)


def dump_spec(spec: ExperimentSpec) -> str:
    """The experiment with every default written out, as JSON with `Infinity`; `load_resolved` reads it back."""
    return json.dumps(spec.model_dump(mode="python"), indent=2, ensure_ascii=False) + "\n"


def load_resolved(text: str, source: str = "spec.json") -> ExperimentSpec:
    """The experiment that `dump_spec` wrote. Raises SpecError."""
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise SpecError(f"{source}: not valid JSON: {error}") from None
    return _validate(tree.from_plain(data, Origin(source)))


def _overridden(node: Node, files: tuple[Path, ...], overrides: Sequence[str]) -> LoadedSpec:
    for override in overrides:
        node = with_kinds(_override(node, override))
    return LoadedSpec(_validate(node), files, tuple(overrides), node)


def _validate(node: Node) -> ExperimentSpec:
    """Through JSON, so that lists may fill tuples while everything else stays strict."""
    try:
        return ExperimentSpec.model_validate_json(json.dumps(tree.plain(node)))
    except ValidationError as error:
        raise SpecError(explain(error, node)) from None


def parse_path(text: str) -> tree.Path:
    """`a.b.0.c` -> ("a", "b", 0, "c")."""
    return tuple(int(part) if part.isdecimal() else part for part in text.split("."))


def _read_chain(path: Path) -> list[Node]:
    """The file and everything it extends, nearest first."""
    layers: list[Node] = []
    seen: list[Path] = []
    asked_by = ""
    while True:
        text = read_text(path, asked_by)
        if path.resolve() in seen:
            raise SpecError(f"{asked_by}: {path} is already in this chain of extends")
        seen.append(path.resolve())
        root = tree.parse(text, str(path))
        if not isinstance(root.value, dict):
            what = "is empty" if root.value is None else "is not a mapping of keys"
            raise SpecError(
                f"{root.origin}: the file {what}; an experiment begins with keys such as name, data, reward"
            )
        below = {key: value for key, value in root.value.items() if key != "extends"}
        layers.append(Node(below, root.origin))
        extends = root.value.get("extends")
        if extends is None:
            return layers
        if not isinstance(extends.value, str) or not extends.value:
            raise SpecError(f"{extends.origin}: extends: expected the path of another file, relative to this one")
        asked_by = f"{extends.origin}: extends"
        path = Path(os.path.normpath(path.parent / extends.value))


def read_text(path: Path, asked_by: str = "") -> str:
    """The text of an experiment or sweep file; `asked_by` names what led to it. Raises SpecError."""
    place = asked_by or str(path)
    name = f" {path}" if asked_by else ""
    try:
        with path.open("rb") as file:
            data = file.read(tree.MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(f"{place}: no such file{name}{_similar(path)}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        advice = _ADVICE.get(error.errno or 0, "") if isinstance(error, OSError) else ""
        raise SpecError(f"{place}: cannot read{name}: {reason.lower()}{advice}") from None
    if len(data) > tree.MAX_BYTES:
        raise SpecError(f"{place}:{name} is larger than {tree.MAX_BYTES:,} bytes; this is not an experiment file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{place}:{name} is not a text file in UTF-8") from None


def _similar(path: Path) -> str:
    """`; did you mean ...?` if the folder holds a file of nearly that name; or that this is an override."""
    if "=" in path.name:
        return "; name an experiment file before the overrides"
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    stems = {Path(name).stem: name for name in names if name.endswith(SUFFIXES)}
    near = difflib.get_close_matches(path.stem, stems, n=1, cutoff=0.75)
    return f"; did you mean {path.parent / stems[near[0]]}?" if near else ""


def _override(root: Node, text: str) -> Node:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        raise SpecError(f"{COMMAND_LINE}: expected key.path=value, such as optim.lr=2e-6, got '{text}'")
    node = tree.parse_value(value, COMMAND_LINE, key)
    return _assign(root, ROOT, key.split("."), node, key)


def _assign(node: Node | None, cursor: Cursor | None, parts: Sequence[str], value: Node, key: str) -> Node:
    """The tree with `value` at `parts`, merged over what stands there; missing levels are made, lists grow."""
    if not parts:
        return tree.merge(node, value) if node is not None else value
    origin, part = value.origin, parts[0]
    if part.isdecimal() and cursor is not None and cursor.item is not None:
        if node is None:
            node = tree.from_plain(to_jsonable_python(cursor.default or ()), origin)
        if isinstance(node.value, list):
            return _assign_item(node, cursor, parts, value, key)
    if node is None or node.value is None:
        node = Node({}, origin)
    if not isinstance(node.value, dict):
        where = ".".join(key.split(".")[: -len(parts)])
        what = "a list; name an item by its number, from 0" if isinstance(node.value, list) else "not a mapping of keys"
        raise SpecError(f"{COMMAND_LINE}: {key}: {where} is {what}")
    below = cursor.child(part, node.kind) if cursor is not None else None
    entry = _assign(node.value.get(part), below, parts[1:], value, key)
    if part == "kind":
        return tree.merge(node, Node({part: entry}, origin))
    return Node({**node.value, part: entry}, node.origin)


def _assign_item(node: Node, cursor: Cursor, parts: Sequence[str], value: Node, key: str) -> Node:
    items = list(node.value) if isinstance(node.value, list) else []
    index = int(parts[0])
    if index > len(items):
        raise SpecError(f"{COMMAND_LINE}: {key}: the list has {len(items)} items; {len(items)} is the next free number")
    entry = _assign(items[index] if index < len(items) else None, cursor.child(index, None), parts[1:], value, key)
    return Node([*items[:index], entry, *items[index + 1 :]], node.origin)
