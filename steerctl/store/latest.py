"""`latest` beside the runs: the newest started or resumed one; a link, or a text file where links cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

from steerctl.store.atomic import TEMPORARY, write_text
from steerctl.store.record import LATEST, resolve


def point_latest(path: Path) -> None:
    """Point `latest` at the run. A folder of that name stays."""
    pointer = path.parent / LATEST
    if pointer.is_dir() and not pointer.is_symlink():
        return
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{LATEST}")
    try:
        temporary.symlink_to(path.name, target_is_directory=True)
        temporary.replace(pointer)
    except OSError:
        temporary.unlink(missing_ok=True)
        write_text(pointer, path.name + "\n")


def latest_name(path: Path) -> str | None:
    """The name of the run that `latest`, beside the run at `path`, points to; None without one."""
    pointer = path.parent / LATEST
    return resolve(pointer).name if pointer.is_symlink() or pointer.is_file() else None
