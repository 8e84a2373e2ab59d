"""Which sequence goes into which micro-batch of which rank, so that padding stays small and ranks stay in step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MicroBatchRows = list[int]

OVERHEAD = 1 / 16
"""What one more micro-batch costs, as a share of the token budget: padding is worth avoiding only above that."""


def plan_micro_batches(lengths: Sequence[int], ranks: int, token_budget: int) -> list[list[MicroBatchRows]]:
    """Rows of every micro-batch of every rank: `plan[rank][k]`, the same number of micro-batches on every rank.

    Sequences are sorted by length and cut so that padded tokens plus OVERHEAD per micro-batch are least, no
    micro-batch exceeding `token_budget` padded tokens; a sequence longer than the budget runs alone. The largest
    micro-batches are then halved until their number is a multiple of `ranks`; with fewer sequences than ranks some are
    empty. The plan is a pure function of its arguments, so every rank computes the same one.
    """
    if not lengths:
        raise ValueError("an update without sequences cannot be planned")
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    cut = [order[start:stop] for start, stop in _cuts([lengths[row] for row in order], token_budget)]
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


def _cuts(descending: Sequence[int], token_budget: int) -> list[tuple[int, int]]:
    """Where to cut lengths sorted from long to short: dynamic programming over the end of each micro-batch."""
    longest = np.asarray(descending, dtype=np.float64)
    least = np.zeros(len(longest) + 1)
    begin = np.zeros(len(longest) + 1, dtype=np.int64)
    lowest = 0
    for stop in range(1, len(longest) + 1):
        while lowest < stop - 1 and (stop - lowest) * longest[lowest] > token_budget:
            lowest += 1
        starts = np.arange(lowest, stop)
        costs = least[lowest:stop] + (stop - starts) * longest[lowest:stop]
        begin[stop] = lowest + int(costs.argmin())
        least[stop] = costs.min() + OVERHEAD * token_budget
    found, stop = [], len(longest)
    while stop:
        found.append((int(begin[stop]), stop))
        stop = int(begin[stop])
    return found[::-1]
