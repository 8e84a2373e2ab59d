"""Plug-ins from outside this package: folders that the user names, and entry points of what the user installed.

    STEERCTL_PLUGINS=plugins:/home/me/more      folders, as in PATH; relative ones to where steerctl is started
    plugins/intervention/my_kind.py             is `kind: my_kind`, as if it lay in steerctl/intervention/

    [project.entry-points."steerctl.intervention"]      in the pyproject.toml of an installed package
    my_kind = "my_package.my_kind"                      a module, or module:Class

Code is named by the user's environment alone: an experiment file cannot name any, so that `steerctl check` on someone
else's file runs nothing of theirs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steerctl.errors import UserError

FOLDERS = "STEERCTL_PLUGINS"
"""Environment variable: folders of plug-ins, separated like PATH."""
ROOMS = ("advantage", "data", "intervention", "loss", "reward")
"""Rooms that plug-ins may enter; a folder of plug-ins has a folder for each that it fills."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One plug-in file from outside, not imported yet.

    name    its kind: the file's name, or the entry point's
    module  what to import, e.g. "my_package.my_kind"; "" for a file of a plug-in folder, which joins the room
    origin  for messages, e.g. "plugins/intervention/my_kind.py" or "entry point my_kind of my-package 1.2"
    file    None if it cannot be known without importing
    """

    name: str
    module: str
    origin: str
    file: Path | None


def room_folders(room: str) -> list[Path]:
    """The folders of plug-ins for a room (e.g. "steerctl.intervention"), in the order in which they are named.

    Raises:
        UserError: a named folder is missing or has no room in it.
    """
    found = []
    for text in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        folder = Path(text).expanduser()
        if not folder.is_dir():
            raise UserError(f"{FOLDERS}: no such folder: {folder} (looked for from {Path.cwd()})")
        if not any((folder / name).is_dir() for name in ROOMS):
            raise UserError(f"{FOLDERS}: {folder} holds none of the folders {', '.join(ROOMS)}; put plug-ins into one")
        inside = folder / room.rpartition(".")[2]
        if inside.is_dir():
            found.append(inside)
    return found


def extensions(room: str) -> list[Extension]:
    """Every plug-in file and entry point for a room; files that begin with an underscore are their own business.

    Raises:
        UserError: as `room_folders`.
    """
    files = [path for folder in room_folders(room) for path in sorted(folder.glob("[!_]*.py"))]
    return [*(Extension(path.stem, "", str(path), path) for path in files), *_entry_points(room)]


def sources() -> dict[str, dict[str, str]]:
    """For the record of a run: "intervention.my_kind" -> where it came from and its SHA-256."""
    return {
        f"{room}.{each.name}": {"origin": each.origin, "sha256": _sha256(each.file)}
        for room in ROOMS
        for each in extensions(f"steerctl.{room}")
    }


def _sha256(file: Path | None) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else "unknown"


def _entry_points(room: str) -> Iterator[Extension]:
    for entry in sorted(importlib.metadata.entry_points(group=room), key=lambda entry: entry.name):
        package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
        yield Extension(entry.name, entry.value, f"entry point {entry.name}{package}", _file(entry.module))


def _file(module: str) -> Path | None:
    """The module's file; its parent packages are imported, it is not."""
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None
