"""The loop around the step: resume, log, validate, save, export, stop cleanly."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from steerctl.analysis.table import joined, token_table
from steerctl.engine.checkpoint import load_state, save_state
from steerctl.engine.export import export_model
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.reference import renew_reference
from steerctl.errors import Interrupted, StorageError
from steerctl.metrics.groups import validation_tally
from steerctl.run.ahead import restore_ahead, save_ahead
from steerctl.run.build import Session
from steerctl.run.interrupt import Interrupts
from steerctl.run.record import rollout_table, step_metrics
from steerctl.run.reporter import Reporter
from steerctl.run.step import StepOutcome, run_step
from steerctl.store.checkpoints import Checkpoint
from steerctl.store.folder import RunFolder
from steerctl.store.rollouts import RolloutTable

POLICY = "policy"
"""The engine's part of a checkpoint folder."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run is: finished steps, and problems asked."""

    step: int = 0
    cursor: int = 0


def train(session: Session, folder: RunFolder | None, reporter: Reporter) -> None:
    """Run every step that is left. Collective; only rank 0 has the folder.

    Raises Interrupted after a clean stop; NonFiniteError, StorageError and other faults leave the newest checkpoint
    as it was, and the folder's status says what happened.
    """
    position = _restore(session, folder)
    if folder is not None:
        reporter.start(session.spec, folder.path, position.step + 1, session.spec.steps)
    try:
        with Interrupts(reporter.note) as interrupts:
            _loop(session, folder, reporter, position, interrupts)
    except (Exception, KeyboardInterrupt) as error:
        if folder is not None:
            _say_how_it_ended(folder, error)
        raise


def _loop(
    session: Session, folder: RunFolder | None, reporter: Reporter, position: Position, interrupts: Interrupts
) -> None:
    spec = session.spec
    if position.step == 0 and (before := _validate(session, folder, position) | _evaluate(session, folder, position)):
        _record(folder, reporter, position, before)
    while position.step < spec.steps:
        started = time.perf_counter()
        session.progress.begin(position.step + 1)
        outcome = run_step(session.parts, position.step, position.cursor)
        position = Position(position.step + 1, outcome.collected.cursor)
        if any([each.renews_reference(position.step) for each in session.parts.interventions]):  # noqa: C419 (ask all)
            renew_reference(session.policy)
        metrics = step_metrics(outcome, session.parts.surrogate, session.policy) | _parity(session, position)
        _keep_rollouts(session, folder, outcome, position)
        _keep_probe(session, folder, outcome, position)
        if spec.validate_every and position.step % spec.validate_every == 0:
            metrics |= _validate(session, folder, position)
        metrics |= _evaluate(session, folder, position)
        metrics |= _timings(session, metrics, time.perf_counter() - started)
        # The line comes before the checkpoint: a run that dies between the two does this step again.
        _record(folder, reporter, position, metrics)
        stop = any(session.policy.all_gather(interrupts.requested)) and position.step < spec.steps
        if stop or position.step == spec.steps or position.step % spec.checkpoint.every == 0:
            with session.clock("save"):
                _save(session, folder, position)
        if stop:
            raise Interrupted(f"stopped after step {position.step} of {spec.steps}")
    if spec.checkpoint.export:
        _export(session, folder)
    if folder is not None:
        folder.set_status("finished", position.step)


def _restore(session: Session, folder: RunFolder | None) -> Position:
    """Load the newest checkpoint, if there is one, and give the generator the weights."""
    found = folder.latest_checkpoint() if folder is not None else None
    newest = session.policy.all_gather(found)[0]
    position = Position()
    if newest is not None:
        load_checkpoint(session, newest)
        restore_ahead(session.parts.collector, newest)
        position = Position(newest.step, newest.state["cursor"])
    session.parts.generator.load_weights(session.policy.weights(), position.step)
    _parity(session, position)
    return position


def load_checkpoint(session: Session, checkpoint: Checkpoint) -> None:
    """Policy, optimiser and the interventions' memory as they were; collective."""
    load_state(session.policy, checkpoint.path / POLICY)
    for intervention, state in zip(session.parts.interventions, checkpoint.state["interventions"], strict=True):
        intervention.load_state_dict(state)


def _parity(session: Session, position: Position) -> dict[str, float]:
    """How far servers are from the trainer after a push; raises EngineError if too far. Collective."""
    if session.parity is None:
        return {}
    with session.clock("parity"):
        return session.parity.check(position.step)


def _save(session: Session, folder: RunFolder | None, position: Position) -> None:
    """Write a checkpoint; collective: rank 0 names the folder, all ranks take part in filling it."""
    temporary = folder.begin_checkpoint(position.step) if folder is not None else None
    target = session.policy.all_gather(temporary)[0] / POLICY
    if folder is not None:
        target.mkdir()
    save_state(session.policy, target)
    if folder is not None:
        state = {
            "cursor": position.cursor,
            "interventions": [dict(each.state_dict()) for each in session.parts.interventions],
            **save_ahead(session.parts.collector, target.parent),
        }
        folder.commit_checkpoint(position.step, state, keep=session.spec.checkpoint.keep)


def _export(session: Session, folder: RunFolder | None) -> None:
    """Write the policy in Hugging Face format; collective, rank 0 writes."""
    if folder is not None:
        folder.save_model(lambda path: export_model(session.policy, session.tokenizer, path))
    else:
        export_model(session.policy, session.tokenizer, Path())


def _validate(session: Session, folder: RunFolder | None, position: Position) -> dict[str, float]:
    """Accuracy on the validation problems under the current weights; collective."""
    if session.validation is None:
        return {}
    with session.clock("validate"):
        groups = session.validation.sample(range(session.validation.problems), -1 - position.step)
    if folder is not None:
        folder.write_validation(position.step, RolloutTable.of(groups))
    return validation_tally(groups).finish()


def _evaluate(session: Session, folder: RunFolder | None, position: Position) -> dict[str, float]:
    """The benchmarks under the current weights, if they are due; collective, the first rank alone has the metrics."""
    evaluation = session.evaluation
    if evaluation is None or not evaluation.due(position.step):
        return {}
    path = folder.evaluation(position.step) if folder is not None else None
    session.progress.begin(position.step, "evaluate", evaluation.most_tokens // session.policy.world_size)
    with session.clock("evaluate"):
        return evaluation.run(path, position.step, session.policy, session.sampler)


def _keep_rollouts(session: Session, folder: RunFolder | None, outcome: StepOutcome, position: Position) -> None:
    every = session.spec.log.rollouts_every
    if every and position.step % every == 0:
        table = rollout_table(outcome, session.policy)
        if folder is not None:
            folder.write_rollouts(position.step, table)


def _keep_probe(session: Session, folder: RunFolder | None, outcome: StepOutcome, position: Position) -> None:
    if folder is None or not outcome.probed:
        return
    with session.clock("probe"):
        tokens = joined(outcome.probed)
        folder.write_probe(position.step, token_table(tokens, position.step, outcome.groups, session.text))


def _record(folder: RunFolder | None, reporter: Reporter, position: Position, metrics: Mapping[str, float]) -> None:
    if folder is not None:
        folder.append_metrics(position.step, metrics)
        folder.set_status("running", position.step)
    reporter.step(position.step, metrics)


def _timings(session: Session, metrics: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Where the time of the step went on this rank, and how fast it was; memory of all ranks. Collective."""
    laps = session.clock.lap()
    tokens = metrics["batch/tokens/count"]
    return {
        **{f"time/{name}/seconds": value for name, value in laps.items()},
        "time/step/seconds": seconds,
        "throughput/tokens/per_second": tokens / seconds,
        "throughput/generated/per_second": tokens / max(laps["generate"], 1e-9),
        "memory/rss/bytes": float(sum(session.policy.all_gather(_resident_bytes()))),
        **device_memory(session.policy),
    }


def device_memory(policy: DeepSpeedPolicy) -> dict[str, float]:
    """The most that tensors held on a rank's accelerator since the last call, the largest of all ranks; collective."""
    if policy.device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(policy.device)
    torch.cuda.reset_peak_memory_stats(policy.device)
    return {"memory/device/bytes": float(max(policy.all_gather(peak)))}


def _resident_bytes() -> int:
    """Memory this process holds now (Linux); elsewhere the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def _say_how_it_ended(folder: RunFolder, error: BaseException) -> None:
    stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
    with suppress(StorageError):  # the disk may be the fault that is being reported
        folder.set_status("interrupted" if stopped else "failed", folder.status.step, str(error) or "interrupted")
