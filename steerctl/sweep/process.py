"""One cell as a process: `steerctl train`, started, watched, stopped, and its end told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steerctl.engine import rank_main
from steerctl.errors import RunFolderError
from steerctl.store.atomic import storage_errors
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.plan import Cell

End = Literal["finished", "killed", "failed"]
KILLED = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM})
"""Signals that somebody else sends: the machine, its administrator, its memory's guard."""
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "STEERCTL_LAUNCHED")
"""Would make the cell a rank of whatever started the sweep."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a cell's process ended, and why in one line."""

    how: End
    reason: str


class CellProcess:
    """A running cell. It is killed by the kernel if this process dies (Linux), and hears no Ctrl-C but through `stop`.

    Raises:
        StorageError: its log cannot be written.
    """

    def __init__(self, cell: Cell, folder: SweepFolder, devices: Sequence[str]) -> None:
        self.cell, self.devices = cell, tuple(devices)
        self.started = time.monotonic()
        self._log, self._folder, self._stops = folder.log(cell), folder, 0
        run = folder.record(cell)
        asked = ["--resume", str(run.path)] if run is not None else [str(folder.experiment(cell))]
        command = [sys.executable, "-m", "steerctl", "train", *asked]
        stub = [sys.executable, "-I", "-S", rank_main.__file__, str(os.getpid())]
        with storage_errors(self._log), self._log.open("ab") as log:
            log.write(f"$ steerctl train {' '.join(asked)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [*stub, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(cell, self.devices),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ended(self) -> Ended | None:
        """How it ended, None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if code == 0:
            return Ended("finished", "")
        number = -code if code < 0 else code - 128
        if number in KILLED:
            return Ended("killed", f"killed by signal {number} ({signal.Signals(number).name})")
        return Ended("failed", f"exit code {code}: {self._last_words()}")

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stops > 0

    def stop(self) -> None:
        """First: finish the step and save it. Again: abandon the step. A third time: at once."""
        self._stops += 1
        if self._process.poll() is None:
            if self._stops > 2:
                self.kill()
            else:
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, with everything it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        """The run's own error, or the last line it printed."""
        try:
            run = self._folder.record(self.cell)
            if run is not None and run.status.error:
                return run.status.error.splitlines()[0]
        except RunFolderError as error:
            return str(error)
        return last_line(self._log) or "it said nothing"


def last_line(path: Path) -> str:
    """The last line of a file that is not empty, "" without one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:500]


def _environment(cell: Cell, devices: Sequence[str]) -> dict[str, str]:
    found = {key: value for key, value in os.environ.items() if key not in RANK_VARIABLES}
    found["OMP_NUM_THREADS"] = str(cell.spec.engine.threads_per_rank)
    if devices:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return found
