"""Accuracy over questions, each answered several times: pass@k without bias."""

from __future__ import annotations

import numpy as np


def pass_at(k: int, right: int, samples: int) -> float:
    """The chance that at least one of k answers, drawn without replacement from `samples`, is right.

    1 − C(n − c, k) / C(n, k), as the product Π_{i=n−c+1..n} (1 − k/i) over c = right, n = samples: unbiased for the
    chance that one of k fresh answers is right.

    Raises:
        ValueError: k exceeds the samples.

    Source: Chen et al., arXiv 2107.03374, equation 1.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, there are {samples}")
    if samples - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - right + 1, samples + 1)))
