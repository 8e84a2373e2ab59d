"""A sweep file and the command line -> SweepSpec, and what is left for the experiments."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from steerctl.errors import SpecError
from steerctl.spec import tree
from steerctl.spec.explain import dotted
from steerctl.spec.load import read_text
from steerctl.spec.tree import COMMAND_LINE, Node
from steerctl.sweep.spec import SweepSpec

MARK = "base"
"""A file with this key at its top is a sweep; no experiment has it."""


@dataclass(frozen=True, slots=True)
class LoadedSweep:
    """A sweep, its file, and the overrides that go to every experiment in it."""

    spec: SweepSpec
    path: Path
    experiment_overrides: tuple[str, ...]
    written: Node

    @property
    def base(self) -> Path:
        """The base experiment's file."""
        return self.beside(self.spec.base)

    def beside(self, name: str) -> Path:
        """A file named in the sweep, whose paths are relative to it."""
        return Path(os.path.normpath(self.path.parent / name))

    def origin(self, *path: str | int) -> str:
        """`sweep.yaml:7`: where a value, or the nearest one around it, was written."""
        return str(tree.nearest(self.written, path))


def is_sweep(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a sweep and not an experiment. Raises SpecError if it cannot be read."""
    if not os.fspath(path).strip():
        return False
    root = tree.parse(read_text(Path(path)), str(path))
    return isinstance(root.value, dict) and MARK in root.value


def load_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> LoadedSweep:
    """The sweep in a YAML file. Raises SpecError, one line per fault.

    overrides  `seeds=[1,2]` changes the sweep; whatever is no key of a sweep, such as `steps=20`, every experiment
    """
    if not os.fspath(path).strip():
        raise SpecError("the name of the sweep file is empty; write one, such as experiments/sweeps/quickstart.yaml")
    node = tree.parse(read_text(Path(path)), str(path))
    if not isinstance(node.value, dict):
        raise SpecError(f"{node.origin}: not a mapping of keys; a sweep begins with keys such as name, base, axes")
    if MARK not in node.value:
        raise SpecError(f"{node.origin}: a sweep names its `base` experiment; run an experiment with `steerctl train`")
    theirs = []
    for override in overrides:
        head = override.partition("=")[0].strip().split(".")[0]
        if head == "seed":
            raise SpecError(f"{COMMAND_LINE}: {override}: a sweep gives its cells their seeds; write seeds=[1,2]")
        if head not in SweepSpec.model_fields:
            theirs.append(override)
            continue
        node = _assigned(node, override)
    try:
        spec = SweepSpec.model_validate_json(json.dumps(tree.plain(node)))
    except ValidationError as error:
        raise SpecError("\n".join(_fault(each, node) for each in error.errors(include_url=False))) from None
    return LoadedSweep(spec, Path(path), tuple(theirs), node)


def _assigned(root: Node, override: str) -> Node:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SpecError(f"{COMMAND_LINE}: expected key=value, such as seeds=[1,2], got '{override}'")
    value = tree.parse_value(text, COMMAND_LINE, key)
    for part in reversed(parts[1:]):
        value = Node({part: value}, value.origin)
    entries = dict(root.value) if isinstance(root.value, dict) else {}
    head = parts[0]
    entries[head] = tree.merge(entries[head], value) if head in entries and len(parts) > 1 else value
    return Node(entries, root.origin)


def _fault(detail: ErrorDetails, written: Node) -> str:
    """`sweep.yaml:6: axes.0.grdi: not a known key; did you mean grid?`."""
    path = detail["loc"]
    while path and tree.find(written, path) is None and detail["type"] not in ("missing", "extra_forbidden"):
        path = path[:-1]  # pydantic adds the names of a union's members
    text = _words(detail, path)
    return f"{tree.nearest(written, path)}: {dotted(path)}: {text}" if path else f"{written.origin}: {text}"


def _words(detail: ErrorDetails, path: tree.Path) -> str:
    if detail["type"] == "missing":
        return "missing"
    if detail["type"] == "string_pattern_mismatch":
        return "should be letters, digits and . _ -, the first one a letter or digit"
    if detail["type"] != "extra_forbidden":
        text = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
        return text.replace("a valid array", "a list, as in [1, 2]").replace("a valid dictionary", "a mapping of keys")
    near = difflib.get_close_matches(str(path[-1]), _keys(path[:-1]), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(_keys(path[:-1]))}"
    return f"not a known key{hint}"


def _keys(path: tree.Path) -> list[str]:
    """The keys that may stand at a path of a sweep."""
    from steerctl.sweep import spec  # noqa: PLC0415 (only when something is wrong)

    models: dict[str, type[BaseModel]] = {
        "": spec.SweepSpec,
        "axes": spec.AxisSpec,
        "variants": spec.VariantSpec,
        "contrasts": spec.ContrastSpec,
        "search": spec.SearchSpec,
        "space": spec.RangeSpec,
        "prune": spec.PruneSpec,
        "slurm": spec.SlurmSpec,
    }
    words = [part for part in path if isinstance(part, str) and part in models]
    return list(models[words[-1] if words else ""].model_fields)
