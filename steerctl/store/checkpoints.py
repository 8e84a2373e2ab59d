"""Checkpoints of one run: whole or absent, the newest few kept, every file known by size and hash."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerctl.errors import RunFolderError
from steerctl.store.atomic import TEMPORARY, discard, publish, storage_errors, sweep, write_text

STATE = "state.json"
POINTER = "latest"
FILES, OWN = "files", "blake2b"
"""Keys of state.json that are the store's: size and hash of the other files, and the hash of the rest of itself."""
READERS = 4
"""Files hashed side by side; hashing and reading leave Python free."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: the folder the engine wrote, and what the loop needs besides (step, cursor, ...)."""

    step: int
    path: Path
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """The newest checkpoint whose files are what was written, None without one; and what is wrong with newer ones.

    damaged   one entry per checkpoint that cannot be used, e.g. "step_000006 (policy/state.json is missing)"
    """

    checkpoint: Checkpoint | None
    damaged: tuple[str, ...]


class Checkpoints:
    """The folder that holds a run's checkpoints, `step_000010` each, and the file `latest` with the newest one's name.

    A checkpoint is written under a temporary name by every rank, then named by one: `begin` there, `commit` here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, step: int) -> Path:
        """An empty temporary folder for the checkpoint after `step`; what an earlier attempt left is gone."""
        temporary = self.folder / f"{TEMPORARY}step_{step:06d}"
        with storage_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
        sweep(self.folder)
        with storage_errors(temporary):
            temporary.mkdir()
        return temporary

    def commit(self, step: int, state: Mapping[str, Any], keep: int) -> Checkpoint:
        """Name the folder of `begin(step)`, point `latest` at it, then drop all but the newest `keep`."""
        temporary, final = self.folder / f"{TEMPORARY}step_{step:06d}", self.folder / f"step_{step:06d}"
        with storage_errors(final):
            record = {**state, "step": step, FILES: _fingerprints(temporary)}
        write_text(temporary / STATE, json.dumps({**record, OWN: _digest(record)}, allow_nan=False, indent=1) + "\n")
        if final.exists():
            discard(final)
        publish(temporary, final)
        write_text(self.folder / POINTER, final.name + "\n")
        for old in self._names()[max(keep, 1) :]:
            discard(self.folder / old)
        return Checkpoint(step, final, {**state, "step": step})

    def abandon(self) -> None:
        """Remove a checkpoint that could not be finished."""
        sweep(self.folder)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose state.json reads, None if there is none; its other files are not looked at."""
        return next(self._whole(), None)

    def all(self) -> list[Checkpoint]:
        """Every checkpoint whose state.json reads, the oldest first; other files are not looked at."""
        return [*self._whole()][::-1]

    def search(self) -> Search:
        """The newest checkpoint that is byte for byte what was written; reads all of it.

        Raises:
            RunFolderError: a file may not be read.
        """
        damaged: list[str] = []
        for name in self._names():
            try:
                found = _read(self.folder / name)
                _verify(found)
            except _DamageError as error:
                damaged.append(f"{name} ({error})")
            else:
                return Search(found.checkpoint, tuple(damaged))
        return Search(None, tuple(damaged))

    def drop_after(self, step: int) -> None:
        """Remove checkpoints of later steps (which are not whole, or `latest` would have found them) and leftovers."""
        if not self.folder.is_dir():
            return
        sweep(self.folder)
        for name in self._names():
            if _step(name) > step:
                discard(self.folder / name)
        if step >= 0:
            write_text(self.folder / POINTER, f"step_{step:06d}\n")

    def _whole(self) -> Iterator[Checkpoint]:
        """Newest first."""
        for name in self._names():
            with suppress(_DamageError):
                yield _read(self.folder / name).checkpoint

    def _names(self) -> list[str]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        names = [entry.name for entry in self.folder.iterdir() if re.fullmatch(r"step_\d{6,}", entry.name)]
        return sorted(names, key=_step, reverse=True)


class _DamageError(Exception):
    """What is wrong with a checkpoint."""


@dataclass(frozen=True, slots=True)
class _Record:
    """A checkpoint and the size and hash of its files; `files` is None where an early version wrote none."""

    checkpoint: Checkpoint
    files: Mapping[str, Any] | None


def _read(path: Path) -> _Record:
    try:
        record = json.loads((path / STATE).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise RunFolderError(f"{path / STATE}: may not be read; change its permissions") from error
    except FileNotFoundError as error:
        raise _DamageError(f"{STATE} is missing") from error
    except (OSError, ValueError) as error:
        raise _DamageError(f"{STATE} cannot be read") from error
    if not isinstance(record, dict) or record.get("step") != _step(path.name):
        raise _DamageError(f"{STATE} is not of this step")
    own, files = record.pop(OWN, None), record.get(FILES)
    if files is not None and own != _digest(record):
        raise _DamageError(f"{STATE} has changed")
    record.pop(FILES, None)
    return _Record(Checkpoint(record["step"], path, record), files)


def _verify(record: _Record) -> None:
    """Compare sizes first, which costs nothing, then contents."""
    folder, files = record.checkpoint.path, record.files or {}
    for name, expected in files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise _DamageError(f"{name} is missing") from error
        if size != expected["bytes"]:
            raise _DamageError(f"{name} has {size} bytes instead of {expected['bytes']}")
    try:
        hashes = _hashes(folder, list(files))
    except PermissionError as error:
        raise RunFolderError(f"{error.filename}: may not be read; change its permissions") from error
    except OSError as error:
        raise _DamageError(f"a file cannot be read: {error.strerror}") from error
    for name, found in hashes.items():
        if found != files[name]["blake2b"]:
            raise _DamageError(f"{name} has changed")


def _fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file, by its path inside the folder."""
    paths = [Path(root, name) for root, _, names in os.walk(folder) for name in names]
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    return {
        name: {"bytes": (folder / name).stat().st_size, "blake2b": found}
        for name, found in _hashes(folder, names).items()
    }


def _hashes(folder: Path, names: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(names, pool.map(lambda name: _hash(folder / name), names), strict=True))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _blake2b).hexdigest()


def _digest(record: Mapping[str, Any]) -> str:
    return _blake2b(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _blake2b(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)


def _step(name: str) -> int:
    return int(name.removeprefix("step_"))
