"""Whether a new run may lie at a path, and clearing that path for it."""

from __future__ import annotations

from pathlib import Path

from steerctl.errors import RunFolderError
from steerctl.store.atomic import TEMPORARY, discard, storage_errors
from steerctl.store.lock import Lock, is_locked
from steerctl.store.record import LATEST, LOCK, METRICS, is_run_folder


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where a new run would destroy something. Raises RunFolderError."""
    if path.name == LATEST:
        raise RunFolderError(f"{path}: a run cannot be called {LATEST}; that name points to the newest run")
    with storage_errors(path):
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
    if not is_run_folder(path):
        raise RunFolderError(f"{path} exists and is not a run folder, so it stays; choose another name or output")
    if not overwrite and not _is_blank(path):
        raise RunFolderError(f"{path} holds a run already; go on with --resume {path}, or replace it with --overwrite")


def _is_blank(path: Path) -> bool:
    """Whether a run ended before its first line of metrics, so that nothing is lost with it."""
    metrics = path / METRICS
    return not metrics.exists() or metrics.stat().st_size == 0


def remove_run(path: Path) -> None:
    """Remove a run folder. Raises RunFolderError while a process writes it."""
    lock = Lock(path / LOCK)
    try:
        discard(path)
    finally:
        lock.release()


def sweep_siblings(path: Path) -> None:
    """Remove what an interrupted `create` of this name left beside it, unless its process lives."""
    for entry in path.parent.glob(f"{TEMPORARY}*-{path.name}*"):
        if (entry / LOCK).exists() and not is_locked(entry / LOCK):
            discard(entry)
