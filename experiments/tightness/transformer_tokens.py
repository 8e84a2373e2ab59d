"""Single updates of the quickstart taken apart token by token: as they were, and as they were not.

A token table per run, one row per token, optimiser and learning rate: the columns of steerctl/analysis/columns.py that
the lens and the formulas give, with `optimiser`, `seed`, `trained_at` (the learning rate the run is trained at, as
against `learning_rate`, that of the row's update) and `problem_id`.

The weights before an update, its gradient and AdamW's moments are those of the run. What the update would have done at
another learning rate follows from them, since Δ is proportional to η; so does plain gradient descent's. The entropy
before and after is then measured, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor, nn

from steerctl.analysis.decompose import LossSlopes
from steerctl.analysis.lens import Lens
from steerctl.analysis.positions import choose, lengths_of, places, probe_mask
from steerctl.analysis.predict import predictions, update_means
from steerctl.engine.environment import prepare_single
from steerctl.engine.models import load_model
from steerctl.engine.motion import Motion, MotionWatch, sgd_motion
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.intervention import Turn, View
from steerctl.run.build import build
from steerctl.run.laboratory import view_slopes
from steerctl.run.probe import NoProbe, OptimizerStep, Watch
from steerctl.run.reporter import Everyone
from steerctl.run.slopes import Loss
from steerctl.run.step import run_step
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import load_spec
from steerctl.store.atomic import writing
from steerctl.types import OptimizerReport, Update

SPEC = Path(__file__).resolve().parents[1] / "quickstart" / "grpo.yaml"
TRAINED_AT = 4e-4
"""The quickstart's learning rate."""
RATES: Mapping[str, tuple[float, ...]] = {
    "AdamW": (1e-6, 1e-5, 4e-5, 1e-4, 2e-4, TRAINED_AT, 1e-3, 4e-3),
    "SGD": (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0),
}
"""Looked at; SGD's 0.1 moves a token's entropy about as far as AdamW's 4e-4."""
SEQUENCES = 48
"""Responses of an update that its tokens come from: more cost more passes and show little more."""

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Training:
    """A run of which some updates are looked at.

    steps      all of whose updates are, from 1
    problems   of each step
    positions  tokens of each update
    apart      both optimisers at all rates, with own-state terms; else each update as it was, its first order alone
    """

    seed: int
    learning_rate: float
    steps: tuple[int, ...]
    problems: int
    positions: int
    apart: bool

    @property
    def name(self) -> str:
        """Of its table's file."""
        kind, steps = "apart" if self.apart else "total", "-".join(map(str, self.steps))
        sizes = f"problems{self.problems}-tokens{self.positions}"
        return f"{kind}-seed{self.seed}-lr{self.learning_rate:g}-steps{steps}-{sizes}.parquet"

    def spec(self) -> ExperimentSpec:
        """GRPO as the quickstart has it, in one process on a CPU."""
        given = (f"seed={self.seed}", f"optim.lr={self.learning_rate}", f"rollout.problems_per_step={self.problems}")
        return load_spec(SPEC, (*given, "engine.device=cpu", "engine.ranks=1")).spec


def tokens_of(training: Training, folder: Path) -> Columns:
    """The token table; measured and kept in the folder, unless it is there already."""
    path = folder / training.name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.concat_tables([pa.table(columns) for columns in _measure(training)])
        with writing(path) as temporary:
            pq.write_table(table, temporary)
    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _measure(training: Training) -> Iterator[Columns]:
    """Train as far as needed; one update, optimiser and rate at a time."""
    prepare_single()
    spec = training.spec()
    session = build(spec, Everyone())
    try:
        probe = TakesApart(training, spec, session.policy, load_model(spec.policy, seed=spec.seed))
        parts = replace(session.parts, probe=probe, entropy_after_every=0)
        parts.generator.load_weights(session.policy.weights(), 0)
        cursor = 0
        for step in range(max(training.steps)):
            outcome = run_step(parts, step, cursor)
            cursor = outcome.collected.cursor
            problems = np.array([group.problem.id for group in outcome.groups])
            for columns in outcome.probed:
                yield {**columns, "problem_id": problems[columns["row"] // spec.rollout.group_size]}
    finally:
        session.close()


@dataclass(frozen=True)
class TakesApart:
    """`run.probe.Probe` of the updates of a training that are to be looked at; it changes nothing of them.

    model  of the policy's architecture; its weights are not read
    """

    training: Training
    spec: ExperimentSpec
    policy: DeepSpeedPolicy
    model: nn.Module
    found: list[Columns] = field(default_factory=list)

    def watch(self, update: Update, turns: Sequence[Turn], *, step: int, loss: Loss) -> Watch:
        """Choose the tokens, and remember the weights."""
        if step + 1 not in self.training.steps:
            return NoProbe()
        chosen = choose(
            lengths_of(update.micro_batches, self.policy.all_gather),
            seed=self.spec.seed,
            update=step * self.spec.optim.updates_per_step + update.index,
            positions=self.training.positions,
            sequences=SEQUENCES,
        )
        masks = tuple(probe_mask(batch, chosen) for batch in update.micro_batches)
        return _Opened(self, (step + 1, update.index + 1), masks, MotionWatch(self.policy), tuple(turns), loss)

    def take(self) -> Sequence[Columns]:
        """What was found since the last call."""
        found = tuple(self.found)
        self.found.clear()
        return found


Looked = tuple[View, Tensor, LossSlopes | None]
"""A micro-batch, which of its tokens are looked at, and the slopes of its loss."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """One update that is looked at: its step and number, and the chosen tokens of each micro-batch."""

    room: TakesApart
    number: tuple[int, int]
    masks: Sequence[Tensor]
    before: MotionWatch
    turns: tuple[Turn, ...]
    loss: Loss

    def around(self, step: OptimizerStep, views: Sequence[View]) -> OptimizerReport:
        """The step, then the lens on it."""
        room, training, algorithm = self.room, self.room.training, self.room.spec.algorithm
        views = views[len(views) - len(self.masks) :]
        looked: list[Looked] = [
            (view, mask_BT, view_slopes(view, self.turns, algorithm.loss, self.loss) if training.apart else None)
            for view, mask_BT in zip(views, self.masks, strict=True)
            if mask_BT.any()
        ]
        report = step()
        motion = self.before.motion(report)
        columns = self._foretold(views, looked, report)
        found = [*self._at("AdamW", motion, RATES["AdamW"] if training.apart else (motion.learning_rate,), looked)]
        if training.apart:
            plain = sgd_motion(motion.before, motion.gradient, 0.1, max_grad_norm=room.spec.optim.max_grad_norm)
            found += self._at("SGD", plain, RATES["SGD"], looked)
        room.found.extend({**columns, **each} for each in found)
        return report

    def _foretold(self, views: Sequence[View], looked: Sequence[Looked], report: OptimizerReport) -> Columns:
        """Where the tokens are, and what the formulas foretell of them."""
        training, means = self.room.training, update_means(views, self.room.policy.all_gather)
        parts: list[Columns] = [
            {"row": places(view.batch, mask_BT).row_N, "position": places(view.batch, mask_BT).position_N}
            | predictions(view, mask_BT, means)
            for view, mask_BT, _ in looked
        ]
        named = {
            "seed": training.seed, "trained_at": training.learning_rate, "step": self.number[0],
            "update": self.number[1], "grad_norm": report.grad_norm,
        }  # fmt: skip
        count = sum(len(part["row"]) for part in parts)
        return _joined(parts) | {name: np.full(count, value) for name, value in named.items()}

    def _at(
        self, optimiser: str, motion: Motion, rates: Sequence[float], looked: Sequence[Looked]
    ) -> Iterator[Columns]:
        """What the lens sees of a motion at each learning rate."""
        lens = Lens(self.room.model, motion, temperature=self.room.spec.rollout.temperature)
        parts = [lens.decompose(view.batch, mask_BT, slopes) for view, mask_BT, slopes in looked]
        for rate in rates:
            factor = rate / motion.learning_rate
            columns = _joined([
                part.scaled(factor, lens.measured(view.batch, mask_BT, factor, entropy_N=part.entropy_N)).columns()
                for part, (view, mask_BT, _) in zip(parts, looked, strict=True)
            ])  # fmt: skip
            count = len(columns["measured"])
            yield columns | {"learning_rate": np.full(count, rate), "optimiser": np.full(count, optimiser)}


def _joined(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
