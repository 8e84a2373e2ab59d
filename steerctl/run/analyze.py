"""`steerctl analyze`: steps of a stored run done again, their updates taken apart token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from steerctl.analysis.probed import Choice
from steerctl.analysis.table import joined, token_table
from steerctl.engine.environment import prepare_single
from steerctl.engine.launch import limit_threads
from steerctl.engine.models import load_model
from steerctl.errors import RunFolderError
from steerctl.run.build import Session, build
from steerctl.run.ending import stopped
from steerctl.run.interrupt import breaking_off
from steerctl.run.laboratory import Laboratory
from steerctl.run.record import rollout_table
from steerctl.run.reporter import Everyone
from steerctl.run.step import run_step
from steerctl.run.train import load_checkpoint
from steerctl.spec.analysis import ProbeSpec
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import load_spec
from steerctl.store.checkpoints import Checkpoint
from steerctl.store.record import ANALYSIS, RunRecord, resolve
from steerctl.store.rollouts import RolloutTable
from steerctl.store.tokens import keep_tokens

Precision = Literal["float64", "float32"]
DEFAULT_STEPS = 4
"""Analysed unless steps are named: the first that can be, and others spread over the rest."""
COMPARED = ("old_logprobs", "entropy", "token_advantage", "weight")
"""Per-token columns of the stored rollouts that a step done again must have alike: of its start,"""
COMPARED_AFTER = ("logprobs_after", "entropy_after")
"""and of its end, where rounding has gone through the updates."""
TOLERANCE, TOLERANCE_AFTER = 1e-3, 1e-2
"""Largest differences, in nats (advantage and weight: 1), that pass for rounding."""


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """What was asked for.

    steps      () for a handful of those that can be
    positions  tokens of each update
    own        with the terms of each token's own gradient
    sgd        learning rate of the step of plain gradient descent that is taken apart beside each update; None: none
    out        where the tables go; None: RUN/analysis
    """

    run: Path
    steps: tuple[int, ...] = ()
    positions: int = 96
    own: bool = True
    dtype: Precision = "float64"
    sgd: float | None = None
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class AnalyzedStep:
    """One step: its token table, where that lies, and how far doing it again came from what was stored.

    start, end  largest difference of COMPARED and COMPARED_AFTER; end is None where none of these were stored
    """

    step: int
    table: Any
    path: Path
    start: float
    end: float | None
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether the step was done again as it had been done."""
        return self.start <= TOLERANCE and (self.end is None or self.end <= TOLERANCE_AFTER)

    @property
    def line(self) -> str:
        """What there is to say of it."""
        found = f"step {self.step}: {self.table.num_rows} tokens, {self.seconds:.1f} s; "
        gap = f"{self.start:.1e} nats at its start" + ("" if self.end is None else f", {self.end:.1e} at its end")
        if not self.agrees:
            return f"{found}warning: done again it differs from what is stored by {gap}: other hardware or versions?"
        exactly = self.start == 0 and not self.end
        return found + ("done again bit for bit" if exactly else f"done again to within {gap}")


def analyze_run(request: AnalyzeRequest, note: Callable[[str], None]) -> list[AnalyzedStep]:
    """Do the steps again, in one process whatever number of ranks trained, and write their token tables.

    Raises:
        RunFolderError: no run, no rollouts stored, or a step whose start is not.
        DataError: stored rollouts that cannot be replayed.
        Interrupted: on Ctrl-C; the tables of finished steps stay.
    """
    run = RunRecord(resolve(request.run))
    starts = analysable(run)
    steps = _chosen(run, starts, request.steps)
    spec = _alone(load_spec(run.spec_path).spec)
    prepare_single()
    limit_threads(spec.engine.threads_per_rank)
    note(f"{run.path}: {_listed(steps)} of {run.status.step}; loading the policy")
    if not request.steps and len(starts) < DEFAULT_STEPS:
        note("no other step has its start stored; train with a larger checkpoint.keep to analyse more")
    session = build(spec, Everyone(), saved=run.path, steps=steps)
    done: list[AnalyzedStep] = []
    out = request.out or run.path / ANALYSIS
    with breaking_off():
        try:
            laboratory = _laboratory(session, request)
            for step in steps:
                done.append(_analyze(session, laboratory, run, step, starts[step], out=out))
                note(done[-1].line)
        except KeyboardInterrupt as error:
            kept = f"{_listed([each.step for each in done])} in {out}" if done else "nothing"
            raise stopped(f"interrupted; kept: {kept}") from error
        finally:
            session.close()
    note(f"tables: {out}")
    return done


def analysable(run: RunRecord) -> dict[int, Checkpoint | None]:
    """Steps whose rollouts and start are stored, with that start; None is the policy before training.

    Raises:
        RunFolderError: there is none.
    """
    kept = set(run.rollout_steps())
    if not kept:
        raise RunFolderError(f"{run.path}: no rollouts are stored; train with log.rollouts_every: 1")
    starts: dict[int, Checkpoint | None] = {1: None}
    starts |= {each.step + 1: each for each in run.checkpoints()}
    found = {step: start for step, start in sorted(starts.items()) if step in kept}
    if not found:
        raise RunFolderError(
            f"{run.path}: no step has both its rollouts and the checkpoint before it; train with log.rollouts_every: 1"
            " and a larger checkpoint.keep"
        )
    return found


def spread(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` of them: the first, the last, and others evenly between."""
    if len(steps) <= count:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (count - 1))] for index in range(count)]


def _chosen(run: RunRecord, starts: Mapping[int, Checkpoint | None], asked: Sequence[int]) -> list[int]:
    for step in asked:
        if step not in starts:
            raise RunFolderError(
                f"{run.path}: step {step} cannot be analysed: its rollouts or its start are not stored; "
                f"{_listed([*starts])} can be; a larger checkpoint.keep keeps more starts"
            )
    return sorted(set(asked)) or spread([*starts], DEFAULT_STEPS)


def _alone(spec: ExperimentSpec) -> ExperimentSpec:
    """The experiment in one process that samples nothing, on whatever device is here."""
    engine = {
        "ranks": 1, "hostfile": None, "device": "auto", "offload_optimizer": False, "offload_parameters": False,
    }  # fmt: skip
    return spec.model_copy(
        update={"engine": spec.engine.model_copy(update=engine), "validate_every": 0, "evaluation": None}
    )


def _laboratory(session: Session, request: AnalyzeRequest) -> Laboratory:
    spec = session.spec
    model = load_model(spec.policy, seed=spec.seed).to(session.policy.device)
    return Laboratory(
        policy=session.policy,
        model=model,
        surrogate=spec.algorithm.loss,
        temperature=spec.rollout.temperature,
        updates_per_step=spec.optim.updates_per_step,
        choice=Choice(spec.seed, request.positions, (spec.analysis.probe or ProbeSpec()).sequences),
        token_budget=spec.engine.micro_batch_tokens,
        own=request.own,
        dtype=torch.float64 if request.dtype == "float64" else torch.float32,
        sgd=request.sgd,
        max_grad_norm=spec.optim.max_grad_norm,
    )


def _analyze(
    session: Session, laboratory: Laboratory, run: RunRecord, step: int, start: Checkpoint | None, *, out: Path
) -> AnalyzedStep:
    began = time.perf_counter()
    if start is not None:
        load_checkpoint(session, start)
    stored = run.read_rollouts(step)
    after = any(name in stored.tokens for name in COMPARED_AFTER)
    parts = replace(session.parts, probe=laboratory, entropy_after_every=int(after))
    outcome = run_step(parts, step - 1, 0)
    again = rollout_table(outcome, session.policy)
    table = token_table(joined(outcome.probed), step, outcome.groups, session.text)
    return AnalyzedStep(
        step,
        table,
        keep_tokens(out, step, table),
        start=_gap(stored, again, COMPARED),
        end=_gap(stored, again, COMPARED_AFTER) if after else None,
        seconds=time.perf_counter() - began,
    )


def _gap(stored: RolloutTable, again: RolloutTable, names: Sequence[str]) -> float:
    """Largest difference of these columns; infinite where a token has one and not the other, or one is not finite."""
    largest = 0.0
    for name in names:
        for old, new in zip(stored.tokens.get(name, ()), again.tokens.get(name, ()), strict=False):
            if old.shape != new.shape:
                return float("inf")
            largest = max(largest, float(np.abs(old - new).max(initial=0.0)))
    return largest if np.isfinite(largest) else float("inf")


def _listed(steps: Sequence[int]) -> str:
    """Step 3, or steps 1, 5 and 9."""
    names = [str(step) for step in steps]
    if len(names) == 1:
        return f"step {names[0]}"
    return f"steps {', '.join(names[:-1])} and {names[-1]}"
