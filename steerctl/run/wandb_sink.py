"""Weights & Biases, online or offline. It may fail in any way: the run goes on and metrics.jsonl is complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from steerctl.spec.experiment import ExperimentSpec

INIT_SECONDS = 30.0
"""How long to try to reach the server before going on without it."""


class WandbSink:
    """A reporter that sends every step's metrics to wandb; files lie in the run folder.

    mode    "offline" writes files that `wandb sync` sends later; "online" without a key becomes "offline"
    run_id  the run's own id (environment.json), so that a resumed run goes on in the same wandb run
    folder  where wandb keeps its files, inside the run folder
    warn    called at most once per trouble, with one line
    """

    def __init__(
        self, mode: Literal["offline", "online"], run_id: str, folder: Path, warn: Callable[[str], None]
    ) -> None:
        self._mode = mode
        self._run_id = run_id
        self._folder = folder
        self._warn = warn
        self._run: Any = None

    def start(self, spec: ExperimentSpec, run_path: Path, first_step: int, steps: int) -> None:  # noqa: ARG002 (Reporter)
        """Open the wandb run, or warn and stay silent from then on."""
        self._attempt("start", lambda: self._open(spec))

    def phase(self, step: int, name: str, done: int, total: int) -> None:
        """Nothing: phases are not metrics."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send one step."""
        if self._run is not None:
            self._attempt("log", lambda: self._run.log({"step": step, **metrics}))

    def note(self, message: str) -> None:
        """Nothing: notes are for the terminal."""

    def finish(self, message: str) -> None:
        """Nothing: `close` ends the wandb run."""

    def close(self) -> None:
        """Send what is left and end the wandb run; may be called twice."""
        if self._run is not None:
            self._attempt("finish", self._run.finish)
            self._run = None

    def _open(self, spec: ExperimentSpec) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")  # its own banner would tear the display
        import wandb  # noqa: PLC0415 (slow to import, and most runs do without)

        mode = self._mode
        if mode == "online" and not _has_key():
            self._warn("wandb has no key (wandb login, or WANDB_API_KEY); writing offline, `wandb sync` sends it later")
            mode = "offline"
        self._run = wandb.init(
            project=spec.log.wandb_project,
            entity=spec.log.wandb_entity,
            name=spec.name,
            id=self._run_id,
            resume="allow",
            dir=str(self._folder),
            mode=mode,
            config=spec.model_dump(mode="json"),
            settings=wandb.Settings(init_timeout=INIT_SECONDS, silent=True, console="off", disable_git=True),
        )
        self._run.define_metric("*", step_metric="step")

    def _attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 (whatever wandb does, training goes on)
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._warn(f"wandb could not {what}: {reason}; going on without it, metrics.jsonl is complete")
            self._run = None


def _has_key() -> bool:
    """Whether wandb will find a key without asking for one on the terminal."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(server) is not None
    except (OSError, NetrcParseError):
        return False
