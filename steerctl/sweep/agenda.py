"""All jobs of a sweep, and the cells that each of them runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.trial import Trial

from steerctl.spec.experiment import ExperimentSpec
from steerctl.sweep.jobs import Claim, Job
from steerctl.sweep.load import LoadedSweep
from steerctl.sweep.plan import Cell, Variant, cell_of, cells_of, searched, variants_of
from steerctl.sweep.search import suggest
from steerctl.sweep.study import Board, trial_number


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed job in detail: its runs, one after the other; of a search its trial and what was chosen."""

    cells: tuple[Cell, ...]
    trial: Trial | None
    params: Mapping[str, Any]


class Agenda:
    """What there is to do. Raises SpecError where a variant is wrong."""

    def __init__(self, sweep: LoadedSweep) -> None:
        self.sweep = sweep
        self.variants: list[Variant] = variants_of(sweep)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Of a grid: every cell by its id. Of a search: none, its cells are not known before they are tried."""
        if self.sweep.spec.search is not None:
            return {}
        return {cell.id: cell for cell in cells_of(self.sweep, self.variants)}

    @cached_property
    def jobs(self) -> list[Job]:
        """In the order in which they are taken."""
        search = self.sweep.spec.search
        if search is None:
            return [Job(cell.id, cell.settings) for cell in self.cells.values()]
        settings = [each.settings for each in cells_of(self.sweep, self.variants)]
        asked = json.dumps([settings, search.model_dump(mode="json", exclude={"trials", "prune"})], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
        return [Job(f"trial-{number:04d}", digest) for number in range(1, search.trials + 1)]

    def task(self, claim: Claim, board: Board) -> Task:
        """The runs of a claimed job; a search draws its settings now. Raises SpecError if they make no experiment."""
        search = self.sweep.spec.search
        if search is None:
            return Task((self.cells[claim.job],), None, {})
        trial, params = suggest(board.study, trial_number(claim.trial), claim.job, search)
        spec = searched(self.sweep, params).spec
        return Task(tuple(self.named(claim.job, spec, seed) for seed in self.sweep.spec.seeds), trial, params)

    def named(self, variant: str, spec: ExperimentSpec, seed: int) -> Cell:
        """A cell in this sweep's folder."""
        return cell_of(self.sweep, variant, spec, seed)

    def example(self) -> Sequence[ExperimentSpec]:
        """One experiment of each variant: what places and costs are reckoned from."""
        return [variant.spec for variant in self.variants]
