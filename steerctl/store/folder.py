"""Writing a run folder: one process, everything atomic."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from steerctl.errors import RunFolderError
from steerctl.store._place import check_free, remove_run, sweep_siblings
from steerctl.store.atomic import TEMPORARY, append_line, discard, publish, storage_errors, sweep, write_text
from steerctl.store.checkpoints import Checkpoint, Checkpoints
from steerctl.store.latest import latest_name, point_latest
from steerctl.store.lines import append_metrics, keep_until
from steerctl.store.lock import Lock
from steerctl.store.record import (
    CHECKPOINTS,
    ENVIRONMENT,
    EVALUATIONS,
    LATEST,
    LOCK,
    METRICS,
    MODEL,
    PROBE,
    ROLLOUTS,
    SPEC,
    SPEC_YAML,
    STATUS,
    TABLES,
    VALIDATION,
    RunRecord,
    State,
    is_run_folder,
    resolve,
    table_path,
    table_steps,
)
from steerctl.store.rollouts import RolloutTable, write_rollouts
from steerctl.store.tokens import write_tokens


class RunFolder(RunRecord):
    """One run folder, held by this process until `close`. Use `create` or `resume`; `read` needs no hold.

    created   made by this process, so that `retract` can undo it
    damaged   checkpoints that `resume` passed over, with what is wrong with each
    """

    def __init__(self, path: Path, lock: Lock) -> None:
        super().__init__(path)
        self._lock = lock
        self._checkpoints = Checkpoints(path / CHECKPOINTS)
        self._before: str | None = None
        self.created = False
        self.damaged: tuple[str, ...] = ()

    @classmethod
    def create(
        cls,
        path: Path,
        spec_json: str,
        *,
        environment: Mapping[str, Any],
        spec_yaml: str | None = None,
        overwrite: bool = False,
    ) -> RunFolder:
        """A new run folder at `path`, and `latest` beside it pointing there.

        The new folder is complete before it gets its name, and before an old run (with `overwrite`) is removed.

        Raises:
            RunFolderError: something is at `path` already (with `overwrite`, or if it is a run that never got to its
                first step: and it is not a run folder, or a process is writing it), or the name is `latest`.
            StorageError: the disk is full or read-only.
        """
        check_free(path, overwrite=overwrite)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_siblings(path)
            fresh = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}.new")
            fresh.mkdir()
        lock = None
        try:
            lock = Lock(fresh / LOCK)
            write_text(fresh / SPEC, spec_json.rstrip() + "\n")
            write_text(fresh / ENVIRONMENT, _json(environment))
            write_text(fresh / STATUS, _json({"state": "running", "step": 0, "error": None}))
            if spec_yaml is not None:
                write_text(fresh / SPEC_YAML, spec_yaml)
            if is_run_folder(path):
                remove_run(path)
            publish(fresh, path)
        except BaseException:
            if lock:
                lock.release()
            if fresh.exists():
                discard(fresh)
            raise
        folder = cls(path, lock)
        folder.created, folder._before = True, latest_name(path)
        point_latest(path)
        return folder

    @classmethod
    def resume(cls, path: Path) -> RunFolder:
        """An existing run folder, put back to its newest undamaged checkpoint (step 0 if there never was one).

        Metrics, rollouts, validations and token tables of later steps are dropped: those steps will be run again.

        Raises:
            RunFolderError: `path` is not a run folder, a process is writing it, or all its checkpoints are damaged;
                nothing is changed then.
        """
        path = resolve(path)
        RunRecord(path)
        folder = cls(path, Lock(path / LOCK))
        try:
            folder._return_to_checkpoint()
        except BaseException:
            folder.close()
            raise
        point_latest(path)
        return folder

    @classmethod
    def require_free(cls, path: Path, *, resume: bool, overwrite: bool = False) -> None:
        """Find out before the work what `create` or `resume` would refuse; changes nothing that matters.

        Raises:
            RunFolderError: as they do.
        """
        path = resolve(path) if resume else path
        if resume:
            RunRecord(path)
        else:
            check_free(path, overwrite=overwrite)
        if is_run_folder(path):
            Lock(path / LOCK).release()

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """A run folder for reading only; `path` may also be a `latest`."""
        return RunRecord(resolve(path))

    def append_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add the line of one finished step; on disk when this returns."""
        append_metrics(self.path / METRICS, step, metrics)

    def write_rollouts(self, step: int, table: RolloutTable) -> None:
        """Keep the responses of one step."""
        write_rollouts(self._table(ROLLOUTS, step), step, table)

    def write_validation(self, step: int, table: RolloutTable) -> None:
        """Keep the responses to the validation problems after one step."""
        write_rollouts(self._table(VALIDATION, step), step, table)

    def evaluation(self, step: int) -> Path:
        """Where the evaluation after one step is kept; it says of which weights it is, so it is never dropped."""
        return self.path / EVALUATIONS / f"step_{step:06d}"

    def write_probe(self, step: int, table: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
        """Keep what a probe found in one step: a token table (analysis/columns.py)."""
        write_tokens(self._table(PROBE, step), table)

    def begin_checkpoint(self, step: int) -> Path:
        """An empty temporary folder into which all ranks may write; `commit_checkpoint` makes it real."""
        return self._checkpoints.begin(step)

    def commit_checkpoint(self, step: int, state: Mapping[str, Any], *, keep: int) -> Checkpoint:
        """Make the folder of `begin_checkpoint` the newest checkpoint and drop all but the newest `keep`.

        state  JSON values: the cursor, the interventions' memory; `step` is added
        """
        return self._checkpoints.commit(step, state, keep)

    def save_checkpoint(
        self, step: int, write: Callable[[Path], None], state: Mapping[str, Any], *, keep: int
    ) -> Checkpoint:
        """Begin, `write` into the temporary folder, commit; on failure the older checkpoints are as they were."""
        temporary = self.begin_checkpoint(step)
        try:
            with storage_errors(temporary):
                write(temporary)
            return self.commit_checkpoint(step, state, keep=keep)
        except BaseException:
            self._checkpoints.abandon()
            raise

    def save_model(self, write: Callable[[Path], None]) -> Path:
        """Replace the exported model by what `write` puts into the folder it is given."""
        temporary = self.path / f"{TEMPORARY}{MODEL}"
        if temporary.exists():
            discard(temporary)
        with storage_errors(temporary):
            temporary.mkdir()
        try:
            with storage_errors(self.model):
                write(temporary)
            if self.model.exists():
                discard(self.model)
            publish(temporary, self.model)
        except BaseException:
            if temporary.exists():
                discard(temporary)
            raise
        return self.model

    def set_status(self, state: State, step: int, error: str | None = None) -> None:
        """Say how the run stands after `step`."""
        write_text(self.path / STATUS, _json({"state": state, "step": step, "error": error}))

    def set_spec(self, spec_json: str) -> None:
        """Replace the resolved experiment: a resumed run may change how long it is, where it runs and what it logs."""
        write_text(self.path / SPEC, spec_json.rstrip() + "\n")

    def append_log(self, line: str) -> None:
        """Add a line to the text log."""
        append_line(self.log, line)

    def retract(self) -> None:
        """Undo `create`: the folder is removed and `latest` points where it pointed before. A resumed run stays."""
        if not self.created:
            return
        ours = latest_name(self.path) == self.path.name
        discard(self.path)
        self.close()
        if not ours:
            return
        if self._before is not None and is_run_folder(self.path.with_name(self._before)):
            point_latest(self.path.with_name(self._before))
        else:
            (self.path.parent / LATEST).unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process write; may be called twice."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _table(self, kind: str, step: int) -> Path:
        folder = self.path / kind
        with storage_errors(folder):
            folder.mkdir(exist_ok=True)
        return table_path(folder, step)

    def _return_to_checkpoint(self) -> None:
        search = self._checkpoints.search()
        found, self.damaged = search.checkpoint, search.damaged
        if found is None and self.damaged:
            folder = self.path / CHECKPOINTS
            raise RunFolderError(
                f"{self.path}: no checkpoint can be used: {', '.join(self.damaged)}; put them back from a copy, or "
                f"remove {folder} and --resume starts again at step 1"
            )
        last = found.step if found else -1  # without a checkpoint even validation before the first step is run again
        sweep(self.path)
        self._checkpoints.drop_after(last)
        keep_until(self.path / METRICS, last)
        for kind in TABLES:
            sweep(self.path / kind)
            for later in (later for later in table_steps(self.path / kind) if later > last):
                with storage_errors(self.path / kind):
                    table_path(self.path / kind, later).unlink()
        self.set_status("running", max(last, 0))


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"
