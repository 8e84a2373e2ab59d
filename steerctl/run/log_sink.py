"""The text log of a run: what happened when, for whoever reads the folder later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from steerctl.errors import StorageError
from steerctl.spec.experiment import ExperimentSpec
from steerctl.store.folder import RunFolder


class LogSink:
    """A reporter that writes every start, note and end into log.txt, with the time; steps are in metrics.jsonl."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:  # noqa: ARG002 (Reporter)
        """The run begins, or goes on."""
        self.note(f"steps {first_step} to {steps}, {spec.engine.ranks} ranks, seed {spec.seed}")

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """One line; a full disk is reported by what follows, not here."""
        with suppress(StorageError):
            self._folder.append_log(f"{datetime.now(UTC).isoformat(timespec='seconds')} {message}")

    def finish(self, message: str) -> None:
        """How it ended."""
        self.note(message)

    def close(self) -> None:
        """Nothing to close."""
