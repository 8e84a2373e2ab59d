"""Every kind on two real processes, which meet in torch.distributed, turns the dials as on one."""

from __future__ import annotations

import multiprocessing
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from steerctl.types import Dials
from tests.batches import cut, make_case
from tests.intervention.populations import groups_of, joined, turn_of, turned
from tests.intervention.test_in_a_step import KINDS, fresh, name

STEP, UPDATE = 2, 1
VERDICTS = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]


def case():
    return make_case(seed=31, rows=8, drift=0.6)


def seeing(kind):
    """A fresh one that has seen the step's groups."""
    kind = fresh(kind)
    kind.reshape(groups_of(VERDICTS))
    return kind


def gathered(value):
    slots = [None, None]
    dist.all_gather_object(slots, value)
    return slots


def work(rank: int, folder: str) -> None:
    """One rank: its own micro-batches (sequences 0 to 3 in two, or 4 to 7 in one), every kind in turn."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    parts = cut(case(), [3, 1, 4])
    own = parts[:2] if rank == 0 else parts[2:]
    found = []
    for kind in KINDS:
        turn = turn_of(seeing(kind), own, step=STEP, update=UPDATE, all_gather=gathered)
        dials = joined([turn(part.view().dials, part.batch, part.stats) for part in own])
        found.append([getattr(dials, field.name).detach() for field in fields(Dials)])
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """By kind, the dials of both ranks' sequences."""
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=work, args=(rank, str(folder))) for rank in (0, 1)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(150)
        assert each.exitcode == 0
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    return [[torch.cat(pair) for pair in zip(a, b, strict=True)] for a, b in zip(first, second, strict=True)]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("index", range(len(KINDS)), ids=[name(kind) for kind in KINDS])
def test_two_ranks_turn_the_dials_as_one_does(on_two, index):
    whole = turned(seeing(KINDS[index]), case(), step=STEP, update=UPDATE)
    for field, found in zip(fields(Dials), on_two[index], strict=True):
        assert torch.equal(found, getattr(whole, field.name).detach()), field.name
