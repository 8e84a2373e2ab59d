"""All jobs of a sweep, and the cells that each of them runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.trial import Trial

from steerctl.errors import SpecError
from steerctl.spec.experiment import ExperimentSpec
from steerctl.sweep.jobs import Claim, Job, Standing
from steerctl.sweep.load import LoadedSweep
from steerctl.sweep.plan import Cell, Variant, cell_of, cells_of, check_contrasts, no_variant, searched, variants_of
from steerctl.sweep.search import suggest
from steerctl.sweep.study import Board, trial_number


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed job in detail: its runs, one after the other; of a search its trial and what was chosen."""

    cells: tuple[Cell, ...]
    trial: Trial | None
    params: Mapping[str, Any]


class Agenda:
    """What there is to do.

    only  variants whose cells are run now; empty: all

    Raises:
        SpecError: a variant is wrong, or there is none of a name in `only` or in a planned contrast.
    """

    def __init__(self, sweep: LoadedSweep, only: Sequence[str] = ()) -> None:
        self.sweep = sweep
        self.variants: list[Variant] = variants_of(sweep)
        check_contrasts(sweep, self.variants)
        self.only = frozenset(_known(only, sweep, self.variants))

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Of a grid: every cell by its id. Of a search: none, its cells are not known before they are tried."""
        if self.sweep.spec.search is not None:
            return {}
        return {cell.id: cell for cell in cells_of(self.sweep, self.variants)}

    @cached_property
    def jobs(self) -> list[Job]:
        """Of the whole sweep, in the order in which they are taken."""
        search = self.sweep.spec.search
        if search is None:
            return [Job(cell.id, cell.settings) for cell in self.cells.values()]
        settings = [each.settings for each in cells_of(self.sweep, self.variants)]
        value = [self.sweep.spec.metric, self.sweep.spec.direction, self.sweep.spec.last_steps]
        how = search.model_dump(mode="json", exclude={"trials", "prune"})
        asked = json.dumps([settings, how, value], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
        return [Job(f"trial-{number:04d}", digest) for number in range(1, search.trials + 1)]

    @cached_property
    def wanted(self) -> list[Job]:
        """The jobs that are run now."""
        return [job for job in self.jobs if not self.only or self.cells[job.id].variant in self.only]

    def asked(self, standings: Mapping[str, Standing]) -> dict[str, Standing]:
        """How the jobs stand that are run now."""
        return {job.id: standings[job.id] for job in self.wanted}

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


def _known(only: Sequence[str], sweep: LoadedSweep, variants: Sequence[Variant]) -> Sequence[str]:
    """The names as they are, all of variants."""
    names = [variant.name for variant in variants]
    unknown = next((name for name in only if name not in names), None)
    if only and sweep.spec.search is not None:
        raise SpecError("--only names variants, and a search has none; leave it out")
    if unknown is not None:
        raise SpecError(f"--only: {no_variant(unknown, names)}")
    return only
