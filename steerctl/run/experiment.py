"""One `steerctl train`: from the command's arguments to a finished run folder, on one rank or many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steerctl.engine.environment import RankEnvironment, check_ranks, current_rank, prepare_single
from steerctl.engine.launch import launch, limit_threads
from steerctl.engine.outcome import RANK_LOST
from steerctl.engine.ranks import RankLostError, together
from steerctl.errors import Interrupted, SpecError
from steerctl.run.build import Session, build
from steerctl.run.ending import Outlook, closing_error, stopped
from steerctl.run.interrupt import breaking_off
from steerctl.run.log_sink import LogSink
from steerctl.run.replay import replayed_before, require_apart
from steerctl.run.reporter import LOADING, Everyone, Reporter
from steerctl.run.train import train
from steerctl.run.wandb_sink import WandbSink
from steerctl.spec.checks import require_ready
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.finding import Finding
from steerctl.spec.load import LoadedSpec, dump_spec, load_spec
from steerctl.spec.machine import Machine
from steerctl.store.environment import describe_environment
from steerctl.store.folder import RunFolder
from steerctl.store.record import SERVERS, RunRecord

RESUMABLE = frozenset({"steps", "engine", "checkpoint", "log", "analysis", "validate_every", "evaluation"})
"""What may change when a run is resumed: nothing that the finished steps depended on."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What was asked for: a file with overrides, or a run to go on with; with saved rollouts, or sampling."""

    experiment: str | None
    overrides: tuple[str, ...]
    resume: Path | None
    overwrite: bool
    from_rollouts: Path | None = None


def run_experiment(request: TrainRequest, display: Callable[[], Reporter]) -> int:
    """Launch the ranks, or be one. Returns the exit code; `display` makes what the first rank shows.

    Nothing is written before data, model and engines are loaded, so that a mistake found there leaves no trace.
    """
    loaded = _load(request)
    spec, path, saved = loaded.spec, _run_path(request, loaded), _saved_rollouts(request)
    environment = current_rank()
    first = environment is None or environment.rank == 0
    if request.resume is not None and _nothing_left(RunFolder.read(request.resume), spec):
        if first:
            display().finish(f"nothing left to do: all {spec.steps} steps are finished; run folder: {path}")
        return 0
    findings = require_ready(loaded, Machine.here())
    if first:
        RunFolder.require_free(path, resume=request.resume is not None, overwrite=request.overwrite)
        require_apart(saved, path)
    if environment is None and (spec.engine.ranks > 1 or spec.engine.hostfile):
        return launch(sys.argv[1:], spec.engine, outlook=Outlook.of(path, resumed=request.resume is not None))
    environment = environment or prepare_single()
    environment.adopt()
    check_ranks(environment, spec.engine.ranks)
    limit_threads(spec.engine.threads_per_rank)
    try:
        if first:
            _lead(request, loaded, findings, display())
        else:
            _follow(spec, saved)
    except RankLostError as error:
        return _lost(error, environment)
    return 0


def _lead(request: TrainRequest, loaded: LoadedSpec, findings: Sequence[Finding], shown: Reporter) -> None:
    """The first rank: everything that the user sees and everything that is written."""
    spec, saved, folder, reporter = loaded.spec, _saved_rollouts(request), None, Everyone([shown])
    notes = [f"{finding.level}: {finding.path}: {finding.text}" for finding in findings]
    shown.phase(0, LOADING, 0, 0)
    for note in notes:
        shown.note(note)
    with together(listen=False):
        session = build(spec, shown, _run_path(request, loaded) / SERVERS, saved)
    with breaking_off():
        try:
            try:
                folder = _open_folder(request, loaded, saved)
                log = LogSink(folder)
                for note in notes:
                    log.note(note)
                reporter = Everyone([shown, log, *_sinks(spec, folder)])
                _greet(session, folder, reporter)
                _train(session, folder, reporter)
                reporter.finish(f"finished {spec.steps} steps; run folder: {folder.path}")
            finally:
                session.close()
                reporter.close()
        except BaseException as error:
            reason = closing_error(error, folder)
            if reason is error:
                raise
            raise reason from error
        finally:
            if folder is not None:
                folder.close()


def _follow(spec: ExperimentSpec, saved: Path | None) -> None:
    """Any other rank."""
    with together(listen=False):
        session = build(spec, Everyone(), saved=saved)
    with breaking_off():
        try:
            _train(session, None, Everyone())
        except (KeyboardInterrupt, Interrupted) as error:
            raise stopped(str(error) or "interrupted") from error
        finally:
            session.close()


def _train(session: Session, folder: RunFolder | None, reporter: Reporter) -> None:
    if session.policy.world_size == 1:
        train(session, folder, reporter)
        return
    with together(listen=True):
        try:
            train(session, folder, reporter)
        except Interrupted:
            session.policy.barrier()  # a launcher that sees a rank end gives the others little time
            raise


def _greet(session: Session, folder: RunFolder, reporter: Reporter) -> None:
    """What the user should know before the first step."""
    if session.dropped:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(session.dropped.items()))
        reporter.note(f"training data: {session.num_problems} problems; left out: {counts}")
    found = folder.latest_checkpoint()
    if folder.damaged and found is not None:
        reporter.note(f"warning: damaged checkpoint: {', '.join(folder.damaged)}; going on from step {found.step}")


def _lost(error: RankLostError, environment: RankEnvironment) -> int:
    """Our own launcher knows which rank ended and says so; under another one every rank speaks for itself."""
    if environment.launcher != "steerctl":
        raise error
    if environment.rank != 0:
        sys.stderr.write(f"{error}\n")
    return RANK_LOST


def _run_path(request: TrainRequest, loaded: LoadedSpec) -> Path:
    if request.resume is not None:
        return RunFolder.read(request.resume).path
    return Path(loaded.spec.output) / loaded.spec.name


def _nothing_left(run: RunRecord, spec: ExperimentSpec) -> bool:
    status = run.status
    exported = run.model.is_dir() or not spec.checkpoint.export
    return status.state == "finished" and status.step == spec.steps and exported


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
    run = RunFolder.read(request.resume)
    loaded = load_spec(run.spec_path, overrides)
    newest = run.latest_checkpoint()
    if newest is not None and loaded.spec.steps < newest.step:
        raise SpecError(
            f"command line: steps={loaded.spec.steps}: {run.path} has {newest.step} finished steps; name a number above"
        )
    return loaded


def _all_overrides(request: TrainRequest) -> Sequence[str]:
    """With --resume the first positional argument is an override too."""
    first = (request.experiment,) if request.experiment is not None else ()
    return (*first, *request.overrides)


def _saved_rollouts(request: TrainRequest) -> Path | None:
    """What is replayed; a resumed run goes on with what it began with."""
    if request.resume is not None:
        return replayed_before(RunFolder.read(request.resume).environment, request.from_rollouts)
    return request.from_rollouts.resolve() if request.from_rollouts is not None else None


def _open_folder(request: TrainRequest, loaded: LoadedSpec, saved: Path | None) -> RunFolder:
    spec_json = dump_spec(loaded.spec)
    if request.resume is not None:
        folder = RunFolder.resume(request.resume)
        if loaded.overrides:
            folder.set_spec(spec_json)
        return folder
    replays = {"from_rollouts": str(saved)} if saved is not None else {}
    return RunFolder.create(
        _run_path(request, loaded),
        spec_json,
        environment=describe_environment({"overrides": list(loaded.overrides), **replays}),
        spec_yaml=loaded.files[0].read_text(encoding="utf-8"),
        overwrite=request.overwrite,
    )


def _sinks(spec: ExperimentSpec, folder: RunFolder) -> list[Reporter]:
    if spec.log.wandb == "off":
        return []
    run_id = str(folder.environment["run_id"])
    return [WandbSink(spec.log.wandb, run_id, folder.wandb, _warn)]


def _warn(line: str) -> None:
    sys.stderr.write(f"{line}\n")
