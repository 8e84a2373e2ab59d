"""One `steerctl train`: from the command's arguments to a finished run folder, on one rank or many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steerctl.engine.environment import check_ranks, current_rank, prepare_single
from steerctl.engine.launch import launch, limit_threads
from steerctl.errors import Interrupted, SpecError, SteerctlError
from steerctl.run.build import build
from steerctl.run.log_sink import LogSink
from steerctl.run.reporter import Everyone, Reporter
from steerctl.run.train import train
from steerctl.run.wandb_sink import WandbSink
from steerctl.spec.checks import require_ready
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import LoadedSpec, dump_spec, load_spec
from steerctl.spec.machine import Machine
from steerctl.store.environment import describe_environment
from steerctl.store.folder import RunFolder
from steerctl.store.record import RunRecord

RESUMABLE = frozenset({"steps", "engine", "checkpoint", "log", "validate_every"})
"""What may change when a run is resumed: nothing that the finished steps depended on."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What was asked for: a file with overrides, or a run to go on with."""

    experiment: str | None
    overrides: tuple[str, ...]
    resume: Path | None
    overwrite: bool


def run_experiment(request: TrainRequest, display: Callable[[], Reporter]) -> int:
    """Launch the ranks, or be one. Returns the exit code; `display` makes what the first rank shows."""
    loaded = _load(request)
    findings = require_ready(loaded, Machine.here())
    spec = loaded.spec
    environment = current_rank()
    if environment is None and (spec.engine.ranks > 1 or spec.engine.hostfile):
        return launch(sys.argv[1:], spec.engine)
    environment = environment or prepare_single()
    environment.adopt()
    check_ranks(environment, spec.engine.ranks)
    limit_threads(spec.engine.threads_per_rank)
    if environment.rank != 0:
        _run(spec, None, Everyone())
        return 0
    with _open_folder(request, loaded) as folder:
        log = LogSink(folder)
        reporter = Everyone([display(), log, *_sinks(spec, folder)])
        try:
            for finding in findings:
                reporter.note(f"{finding.level}: {finding.path}: {finding.text}")
            _run(spec, folder, reporter)
            reporter.finish(f"finished {spec.steps} steps; run folder: {folder.path}")
        except KeyboardInterrupt:
            log.note("step abandoned on request")
            raise Interrupted(f"step abandoned; {_how_to_resume(folder)}") from None
        except SteerctlError as error:
            log.note(str(error))
            raise type(error)(f"{error}; {_how_to_resume(folder)}") from error
        finally:
            reporter.close()
    return 0


def _run(spec: ExperimentSpec, folder: RunFolder | None, reporter: Reporter) -> None:
    session = build(spec, reporter, folder.servers if folder is not None else None)
    try:
        if session.dropped:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(session.dropped.items()))
            reporter.note(f"training data: {session.num_problems} problems; left out: {counts}")
        train(session, folder, reporter)
    finally:
        session.close()


def _load(request: TrainRequest) -> LoadedSpec:
    if request.resume is None:
        if request.experiment is None:
            raise SpecError("name an experiment file, or a run folder with --resume")
        return load_spec(request.experiment, request.overrides)
    if request.experiment is not None and "=" not in request.experiment:
        raise SpecError(f"--resume takes the experiment from the run folder; leave {request.experiment} out")
    overrides = _all_overrides(request)
    for override in overrides:
        if override.partition("=")[0].split(".")[0] not in RESUMABLE:
            allowed = ", ".join(sorted(RESUMABLE))
            raise SpecError(f"command line: {override}: a resumed run may only change {allowed}")
    return load_spec(RunFolder.read(request.resume).spec_path, overrides)


def _all_overrides(request: TrainRequest) -> Sequence[str]:
    """With --resume the first positional argument is an override too."""
    first = (request.experiment,) if request.experiment is not None else ()
    return (*first, *request.overrides)


def _open_folder(request: TrainRequest, loaded: LoadedSpec) -> RunFolder:
    spec_json = dump_spec(loaded.spec)
    if request.resume is not None:
        folder = RunFolder.resume(request.resume)
        if loaded.overrides:
            folder.set_spec(spec_json)
        return folder
    return RunFolder.create(
        Path(loaded.spec.output) / loaded.spec.name,
        spec_json,
        environment=describe_environment({"overrides": list(loaded.overrides)}),
        spec_yaml=loaded.files[0].read_text(encoding="utf-8"),
        overwrite=request.overwrite,
    )


def _sinks(spec: ExperimentSpec, folder: RunFolder) -> list[Reporter]:
    if spec.log.wandb == "off":
        return []
    run_id = str(folder.environment["run_id"])
    return [WandbSink(spec.log.wandb, run_id, folder.wandb, _warn)]


def _how_to_resume(run: RunRecord) -> str:
    return f"go on with: steerctl train --resume {run.path}"


def _warn(line: str) -> None:
    sys.stderr.write(f"{line}\n")
