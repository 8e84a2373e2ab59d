"""Checkpoints of one run: whole or absent, the newest few kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerctl.store.atomic import TEMPORARY, discard, publish, storage_errors, sweep, write_text

STATE = "state.json"
POINTER = "latest"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: the folder the engine wrote, and what the loop needs besides (step, cursor, ...)."""

    step: int
    path: Path
    state: Mapping[str, Any]


class Checkpoints:
    """The folder that holds a run's checkpoints, `step_000010` each, and the file `latest` with the newest one's name.

    A checkpoint is written under a temporary name by every rank, then named by one: `begin` there, `commit` here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, step: int) -> Path:
        """An empty temporary folder for the checkpoint after `step`; what an earlier attempt left is gone."""
        self.folder.mkdir(exist_ok=True)
        sweep(self.folder)
        temporary = self.folder / f"{TEMPORARY}step_{step:06d}"
        with storage_errors(temporary):
            temporary.mkdir()
        return temporary

    def commit(self, step: int, state: Mapping[str, Any], keep: int) -> Checkpoint:
        """Name the folder of `begin(step)`, point `latest` at it, then drop all but the newest `keep`."""
        temporary, final = self.folder / f"{TEMPORARY}step_{step:06d}", self.folder / f"step_{step:06d}"
        write_text(temporary / STATE, json.dumps({**state, "step": step}, allow_nan=False, indent=1) + "\n")
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
        """The newest whole checkpoint, None if there is none."""
        for name in self._names():
            found = self._read(self.folder / name)
            if found is not None:
                return found
        return None

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

    def _names(self) -> list[str]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        names = [entry.name for entry in self.folder.iterdir() if re.fullmatch(r"step_\d{6,}", entry.name)]
        return sorted(names, key=_step, reverse=True)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(state, dict) or state.get("step") != _step(path.name):
            return None
        return Checkpoint(state["step"], path, state)


def _step(name: str) -> int:
    return int(name.removeprefix("step_"))
