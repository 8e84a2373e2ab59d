import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerctl.rollout.plan import plan_micro_batches


def padding_fraction(lengths, plan):
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rank in plan for rows in rank if rows)
    return 1 - sum(lengths) / padded


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60), ranks=st.integers(1, 4), budget=st.integers(1, 2000)
)
def test_every_row_once_same_count_on_every_rank_within_budget(lengths, ranks, budget):
    plan = plan_micro_batches(lengths, ranks, budget)
    assert len(plan) == ranks
    assert len({len(rank) for rank in plan}) == 1
    assert sorted(row for rank in plan for rows in rank for row in rows) == list(range(len(lengths)))
    for rows in (rows for rank in plan for rows in rank if len(rows) > 1):
        assert len(rows) * max(lengths[row] for row in rows) <= budget


def test_one_big_batch_is_split_so_that_no_rank_idles():
    plan = plan_micro_batches([10] * 8, 2, 10_000)
    assert [[len(rows) for rows in rank] for rank in plan] == [[4], [4]]


def test_fewer_sequences_than_ranks_leave_empty_micro_batches():
    assert plan_micro_batches([5], 2, 100) == [[[0]], [[]]]


def test_sorting_keeps_padding_small():
    rng = random.Random(0)
    lengths = [rng.randint(10, 60) for _ in range(512)]
    sorted_padding = padding_fraction(lengths, plan_micro_batches(lengths, 2, 2048))
    unsorted = [[list(range(i, i + 32)) for i in range(0, 512, 32)]]
    assert sorted_padding < 0.05
    assert padding_fraction(lengths, unsorted) > 0.3


def test_nothing_to_plan_is_an_error():
    with pytest.raises(ValueError, match="without sequences"):
        plan_micro_batches([], 1, 10)
