"""The order in which problems are asked, as a pure function of one integer."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def problem_at(cursor: int, size: int, seed: int) -> int:
    """Index in [0, size) of the problem at position `cursor` >= 0 of an endless sequence.

    Epoch `cursor // size` is a permutation of its own, drawn from (seed, epoch): every problem once per epoch, and a
    run goes on from its cursor alone, at an epoch's end too. The last permutations are kept, so consecutive cursors
    cost one look-up each.
    """
    epoch, offset = divmod(cursor, size)
    return int(_permutation(epoch, size, seed)[offset])


@lru_cache(maxsize=4)
def _permutation(epoch: int, size: int, seed: int) -> NDArray[np.int64]:
    """Ranks of raw Philox words: NumPy promises the bit stream for ever, not what `permutation` makes of it."""
    words = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(size)
    order = np.argsort(words, kind="stable")
    order.flags.writeable = False
    return order
