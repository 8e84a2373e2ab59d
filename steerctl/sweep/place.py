"""The sweep's folder: the only file of this room that knows file names; docs/sweep.md draws it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from steerctl.spec.load import dump_spec
from steerctl.store.atomic import storage_errors, write_text
from steerctl.store.lock import Lock, is_locked
from steerctl.store.record import LOCK, RunRecord, is_run_folder
from steerctl.sweep.plan import Cell


class SweepFolder:
    """Where everything of one sweep lies; making the object changes nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def study(self) -> Path:
        """Optuna's SQLite file."""
        return self.path / "study.db"

    @property
    def cells_csv(self) -> Path:
        """One row per cell."""
        return self.path / "cells.csv"

    @property
    def variants_csv(self) -> Path:
        """One row per variant and metric."""
        return self.path / "variants.csv"

    @property
    def sweep_json(self) -> Path:
        """What was asked for, for those who read the folder later."""
        return self.path / "sweep.json"

    def run(self, cell: Cell) -> Path:
        """The cell's run folder."""
        return self.path / "runs" / cell.id

    def log(self, cell: Cell) -> Path:
        """What the cell's process printed."""
        return self.path / "logs" / f"{cell.id}.txt"

    def experiment(self, cell: Cell) -> Path:
        """The cell's whole experiment; `steerctl train` of it is the cell."""
        return self.path / "cells" / f"{cell.id}.json"

    def record(self, cell: Cell) -> RunRecord | None:
        """The cell's run, None before it began or where it is on another machine's disk."""
        path = self.run(cell)
        return RunRecord(path) if is_run_folder(path) else None

    def is_written(self, cell: Cell) -> bool:
        """Whether a process holds the cell's run folder."""
        return is_locked(self.run(cell) / LOCK)

    def prepare(self) -> None:
        """Make the folder and those in it. Raises StorageError."""
        for name in ("cells", "logs", "runs", "workers", "slurm"):
            with storage_errors(self.path / name):
                (self.path / name).mkdir(parents=True, exist_ok=True)

    def freeze(self, cell: Cell) -> None:
        """Write the cell's experiment, unless it is there; later edits of the sweep's files do not reach it."""
        text = dump_spec(cell.spec)
        path = self.experiment(cell)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    @property
    def jobs(self) -> Path:
        """Where submitit keeps its files."""
        return self.path / "slurm"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One process at a time, among all that see this folder; waits. SQLite has no other way to claim a trial."""
        with storage_errors(self.path):
            handle = os.open(self.path / "claim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with suppress(OSError):  # no locks here: a database with row locks does without
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def badge(self) -> Badge:
        """Sign in as a worker."""
        return Badge(self.path / "workers")

    def has_left(self, owner: str) -> bool | None:
        """Whether the worker of this badge is gone; None if only its heartbeat can tell (another machine, no locks)."""
        host, _, token = owner.partition("/")
        path = self.path / "workers" / f"{token}.lock"
        if host != socket.gethostname() or not path.is_file():
            return None
        return None if "unlocked" in token else not is_locked(path)


class Badge:
    """A worker's name in the study, `host/token`, and a lock that is gone with its process however that ends."""

    def __init__(self, folder: Path) -> None:
        token = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._path = folder / f"{token}.lock"
        self._lock = Lock(self._path)
        if not is_locked(self._path):  # a file system without locks: only the heartbeat says who lives
            token += "-unlocked"
        self.owner = f"{socket.gethostname()}/{token}"

    def sign_out(self) -> None:
        """Leave in order; may be called twice."""
        self._lock.release()
        self._path.unlink(missing_ok=True)
