"""Reading a run folder: never waits, never writes, also while the run goes on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from steerctl.errors import RunFolderError
from steerctl.store.checkpoints import Checkpoint, Checkpoints
from steerctl.store.lines import read_metrics
from steerctl.store.lock import is_locked
from steerctl.store.rollouts import RolloutTable, read_rollouts
from steerctl.store.tokens import read_tokens

State = Literal["running", "finished", "interrupted", "failed"]

SPEC, SPEC_YAML, ENVIRONMENT, STATUS = "spec.json", "spec.yaml", "environment.json", "status.json"
METRICS, LOG, LOCK = "metrics.jsonl", "log.txt", "lock"
ROLLOUTS, VALIDATION, CHECKPOINTS, MODEL, WANDB = "rollouts", "validation", "checkpoints", "model", "wandb"
PROBE, ANALYSIS, EVALUATIONS = "probe", "analysis", "evaluations"
TABLES = (ROLLOUTS, VALIDATION, PROBE, ANALYSIS)
"""Folders with a table per step."""
SERVERS = "servers"
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands: its state, the last finished step, and the error that ended it."""

    state: State
    step: int
    error: str | None = None


class RunRecord:
    """One run folder, for reading. Its layout is docs/run-folder.md."""

    def __init__(self, path: Path) -> None:
        if not is_run_folder(path):
            what = "is not a run folder" if path.exists() else "does not exist"
            raise RunFolderError(f"{path} {what}; `steerctl runs list` shows the runs there are")
        self.path = path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def spec_path(self) -> Path:
        """Where the resolved experiment lies."""
        return self.path / SPEC

    @property
    def spec_json(self) -> str:
        """The resolved experiment, as JSON text."""
        return self._text(SPEC)

    @property
    def environment(self) -> dict[str, Any]:
        """Code revision, versions, host, command line."""
        return self._json(ENVIRONMENT)

    @property
    def status(self) -> RunStatus:
        """How the run stands; a run that says it is running but has no process is interrupted."""
        record = self._json(STATUS)
        try:
            found = RunStatus(record["state"], int(record["step"]), record.get("error"))
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{self.path / STATUS}: not a run's status ({error})") from error
        if found.state == "running" and not is_locked(self.path / LOCK):
            return RunStatus("interrupted", found.step, found.error)
        return found

    @property
    def model(self) -> Path:
        """The exported policy, in Hugging Face format; may be absent."""
        return self.path / MODEL

    @property
    def log(self) -> Path:
        """The text log; may be absent."""
        return self.path / LOG

    @property
    def wandb(self) -> Path:
        """Where wandb keeps its files."""
        return self.path / WANDB

    @property
    def servers(self) -> Path:
        """Where the logs of generation servers are."""
        return self.path / SERVERS

    def read_metrics(self) -> list[dict[str, float]]:
        """One dict per finished step, `step` in it; NaN where a number was not finite."""
        return read_metrics(self.path / METRICS)

    def rollout_steps(self) -> list[int]:
        """Steps whose rollouts are kept."""
        return table_steps(self.path / ROLLOUTS)

    def read_rollouts(self, step: int) -> RolloutTable:
        """The responses of one step."""
        return read_rollouts(table_path(self.path / ROLLOUTS, step))

    def validation_steps(self) -> list[int]:
        """Steps after which validation was run; 0 is before training."""
        return table_steps(self.path / VALIDATION)

    def read_validation(self, step: int) -> RolloutTable:
        """The responses to the validation problems after one step."""
        return read_rollouts(table_path(self.path / VALIDATION, step))

    def probe_steps(self) -> list[int]:
        """Steps in which a probe looked at an update."""
        return table_steps(self.path / PROBE)

    def read_probe(self, step: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
        """What the probe found in one step: a token table (analysis/columns.py)."""
        return read_tokens(table_path(self.path / PROBE, step))

    def analysis_steps(self) -> list[int]:
        """Steps that `steerctl analyze` has taken apart."""
        return table_steps(self.path / ANALYSIS)

    def read_analysis(self, step: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
        """What `steerctl analyze` found of one step: a token table."""
        return read_tokens(table_path(self.path / ANALYSIS, step))

    def checkpoints(self) -> list[Checkpoint]:
        """Every whole checkpoint, the oldest first."""
        return Checkpoints(self.path / CHECKPOINTS).all()

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest whole checkpoint."""
        return Checkpoints(self.path / CHECKPOINTS).latest()

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RunFolderError(f"{self.path / name}: cannot read: {reason.lower()}") from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._text(name))
        except ValueError as error:
            raise RunFolderError(f"{self.path / name}: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise RunFolderError(f"{self.path / name}: not a JSON object")
        return found


def is_run_folder(path: Path) -> bool:
    """Whether `path` is recognisably a run folder: it has a spec, and a status in one of the known states."""
    try:
        status = json.loads((path / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(status, dict) and status.get("state") in get_args(State) and (path / SPEC).is_file()


def find_runs(folder: Path) -> list[Path]:
    """The run folders directly in `folder`, by name."""
    if not folder.is_dir():
        return []
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and not entry.is_symlink()]
    return sorted(entry for entry in entries if is_run_folder(entry))


def resolve(path: Path) -> Path:
    """The run folder that `path` means: itself, or the one its `latest` names (a link or a text file)."""
    if path.is_symlink():
        return path.parent / path.readlink()
    if path.is_file() and path.name == LATEST:
        return path.parent / path.read_text(encoding="utf-8").strip()
    return path


def table_path(folder: Path, step: int) -> Path:
    """Where a step's table lies."""
    return folder / f"step_{step:06d}.parquet"


def table_steps(folder: Path) -> list[int]:
    """Steps that have a table in `folder`, ascending."""
    if not folder.is_dir():
        return []
    found = [re.fullmatch(r"step_(\d{6,})\.parquet", entry.name) for entry in folder.iterdir()]
    return sorted(int(match[1]) for match in found if match)
