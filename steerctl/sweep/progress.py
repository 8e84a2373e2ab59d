"""How a sweep stands, for whoever shows it: every cell, what it costs, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from steerctl.spec.experiment import ExperimentSpec
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.jobs import JobState, Standing


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell: how far it is, the sweep's metric so far, and what it took (finished) or why it failed.

    wall  seconds from start to end of its process, None before
    """

    id: str
    variant: str
    seed: int
    state: JobState
    step: int
    steps: int
    value: float | None
    wall: float | None
    tokens: int | None
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole sweep at one moment. `left`: seconds, None before a cell is finished or far enough to judge."""

    cells: tuple[CellView, ...]
    metric: str
    left: float | None

    def count(self, *states: JobState) -> int:
        """Cells in these states."""
        return sum(cell.state in states for cell in self.cells)

    @property
    def done(self) -> int:
        """Cells that need nothing more."""
        return self.count("finished", "pruned", "failed")


class Display(Protocol):
    """Told how the sweep goes; never raises."""

    def update(self, snapshot: Snapshot) -> None:
        """The state has changed, or time has passed."""

    def note(self, text: str) -> None:
        """One line worth reading."""

    def close(self) -> None:
        """Let go of the terminal."""


def snapshot_of(agenda: Agenda, standings: Mapping[str, Standing], places: int) -> Snapshot:
    """Every cell as the study has it; `places` is how many cells run at a time if none runs yet."""
    cells = tuple(view for standing in standings.values() for view in _views(agenda, standing))
    return Snapshot(cells, agenda.sweep.spec.metric, seconds_left(cells, places))


def seconds_left(cells: Sequence[CellView], places: int) -> float | None:
    """What is left, at the pace of finished cells (of the variant, else of all), shared by what runs now."""
    known: dict[str, list[float]] = {}
    for cell in cells:
        if cell.state == "finished" and cell.wall is not None and cell.steps:
            known.setdefault(cell.variant, []).append(cell.wall / cell.steps)
    paces = [pace for found in known.values() for pace in found]
    open_cells = [cell for cell in cells if cell.state in ("waiting", "running")]
    if not open_cells:
        return 0.0
    if not paces:
        return None
    overall = sum(paces) / len(paces)
    total = 0.0
    for cell in open_cells:
        own = known.get(cell.variant)
        pace = sum(own) / len(own) if own else overall
        total += pace * max(cell.steps - cell.step, 0)
    running = sum(cell.state == "running" for cell in cells)
    return total / max(running, min(places, len(open_cells)), 1)


def most_tokens(spec: ExperimentSpec) -> int:
    """An upper bound on what one run samples, validation included: every response as long as it may be."""
    sampled = spec.steps * spec.rollout.sequences_per_step * spec.rollout.max_tokens
    count = int(getattr(spec.data.validation, "count", 0) or 0)
    rounds = 1 + spec.steps // spec.validate_every if spec.validate_every else 0
    return sampled + rounds * count * spec.validation_samples * spec.rollout.max_tokens


def _views(agenda: Agenda, standing: Standing) -> list[CellView]:
    said: Mapping[str, Mapping[str, Any]] = standing.says.get("cells", {})
    cell = agenda.cells.get(standing.job)
    variant = cell.variant if cell is not None else standing.job
    seeds = [cell.seed] if cell is not None else agenda.sweep.spec.seeds
    steps = cell.spec.steps if cell is not None else agenda.variants[0].spec.steps
    return [_view(f"{variant}-seed{seed}", seed, variant, steps, standing, said) for seed in seeds]


def _view(  # noqa: PLR0917 (one call, just above)
    name: str, seed: int, variant: str, steps: int, standing: Standing, told: Mapping[str, Mapping[str, Any]]
) -> CellView:
    state, said = standing.state, told.get(name, {})
    if state == "running" and told and not said:
        state = "waiting"  # the next seed of a trial that runs
    elif state == "running" and "wall" in said:
        state = "finished"  # an earlier seed of it
    return CellView(
        id=name,
        variant=variant,
        seed=seed,
        state=state,
        step=steps if state == "finished" else int(said.get("step", 0)),
        steps=steps,
        value=said.get("value"),
        wall=said.get("wall"),
        tokens=said.get("tokens"),
        attempts=standing.attempts,
        reason=standing.reason,
    )
