"""The chosen tokens of one update: however it is cut into micro-batches and ranks, the same rows of the table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from steerctl.analysis.probed import Choice, Probed
from steerctl.analysis.table import joined
from steerctl.types import OptimizerReport, Update
from tests.batches import cut, make_case

REPORT = OptimizerReport(grad_norm=0.7, learning_rate=2e-4)


def update_of(cases):
    batches = tuple(case.batch for case in cases)
    return Update(1, batches, batches[0].num_tokens, batches[0].num_sequences)


def probed_on(cases, all_gather=lambda value: [value], *, budget=1000, **changes):
    choice = Choice(**({"seed": 4, "positions": 12, "sequences": 5} | changes))
    return Probed.of(update_of(cases), all_gather, choice, 3, budget)


def found_on(cases, **settings):
    probed = probed_on(cases, **settings)
    columns = probed.foretold([case.view() for case in cases], REPORT, lambda value: [value])
    entropies = [pack.gather([case.stats.entropy_BT.detach() for case in cases]) for pack in probed.packs]
    return joined([{**columns, "measured": probed.pick(entropies)}])


@pytest.mark.parametrize("sizes", [[8], [1, 4, 3], [2, 2, 2, 2]])
@pytest.mark.parametrize("budget", [1, 20, 1000])
def test_the_cut_into_micro_batches_changes_nothing(sizes, budget):
    whole = make_case(rows=8, dtype=torch.float64)
    expected, found = found_on([whole]), found_on(cut(whole, sizes), budget=budget)
    assert len(found["row"]) == 12
    assert list(found) == list(expected)
    for name, values in found.items():
        assert values == pytest.approx(expected[name], abs=1e-12), name
    assert found["measured"] == pytest.approx(found["entropy"])  # picked in the order of the other columns
    assert set(found["update"]) == {2}
    assert set(found["learning_rate"]) == {2e-4}


def test_only_sequences_with_a_chosen_token_are_computed_again():
    parts = cut(make_case(rows=8), [1] * 8)
    (batch,) = probed_on(parts, sequences=3).batches
    assert len(batch.row_B) == 3
    assert len(probed_on(parts, sequences=3, budget=1).batches) == 3


def test_a_rank_takes_part_where_another_has_a_token():
    """Two ranks, four micro-batches each: both compute the same number of them, also where they have no token."""
    parts = cut(make_case(rows=8), [1] * 8)
    shares, meeting = [[], []], Barrier(2)

    def on(rank):
        def gather(value):
            shares[rank].append(value)
            meeting.wait(timeout=30)
            return [share[len(shares[rank]) - 1] for share in shares]

        return probed_on(parts[rank::2], gather, sequences=3, budget=1)

    with ThreadPoolExecutor(2) as pool:
        probes = [*pool.map(on, range(2))]
    assert len(probes[0].batches) == len(probes[1].batches)
    counts = [int(batch.loss_mask_BT.sum()) for probed in probes for batch in probed.batches]
    assert 0 in counts
    alone = probed_on(parts, sequences=3)
    assert sum(counts) == sum(int(mask_BT.sum()) for mask_BT in alone.masks) > 0
    for rank, probed in enumerate(probes):
        assert all(map(torch.equal, probed.masks, alone.masks[rank::2]))
