"""Which sequence goes into which micro-batch of which rank, so that padding stays small and ranks stay in step."""

from __future__ import annotations

from collections.abc import Sequence

MicroBatchRows = list[int]


def plan_micro_batches(lengths: Sequence[int], ranks: int, token_budget: int) -> list[list[MicroBatchRows]]:
    """Rows of every micro-batch of every rank: `plan[rank][k]`, the same number of micro-batches on every rank.

    Sequences are sorted by length and cut greedily wherever `rows · longest` would exceed `token_budget`; a sequence
    longer than the budget runs alone. The largest micro-batches are halved until their number is a multiple of
    `ranks`; with fewer sequences than ranks some micro-batches are empty. The plan is a pure function of its
    arguments, so that every rank computes the same one.
    """
    if not lengths:
        raise ValueError("an update without sequences cannot be planned")
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    cut: list[MicroBatchRows] = []
    for row in order:
        if cut and (len(cut[-1]) + 1) * lengths[cut[-1][0]] <= token_budget:
            cut[-1].append(row)
        else:
            cut.append([row])
    while len(cut) % ranks:
        largest = max(cut, key=lambda rows: len(rows) * lengths[rows[0]] if len(rows) > 1 else 0)
        if len(largest) > 1:
            half = (len(largest) + 1) // 2
            cut.remove(largest)
            cut += [largest[:half], largest[half:]]
        else:
            cut += [[] for _ in range(-len(cut) % ranks)]
    cut.sort(key=lambda rows: (-len(rows) * lengths[rows[0]] if rows else 1, rows))
    return [cut[rank::ranks] for rank in range(ranks)]
