"""What a measured entropy change consists of, over many tokens: own-state term, interference, remainder.

For parts x_p with Σ_p x_p = y, per token and in nats:

    mean   mean x_p, nats; these sum to mean y
    size   Σ|x_p| / Σ_p Σ|x_p|: share of all movement, parts that cancel each other counted in full; sums to 1
    fit    Σ x_p·y / Σ y²: what the part explains of Σ y²; sums to 1, is negative for a part that opposes the change

Not defined (None): size and fit where everything is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from steerctl.analysis.bootstrap import LEVEL, RESAMPLES, SEED, Clusters, Estimate, estimate, numbers, quotient


@dataclass(frozen=True, slots=True)
class Part:
    """One part's three numbers; formulas in the module's docstring."""

    mean: Estimate
    size: Estimate
    fit: Estimate


def decomposition(
    parts: Mapping[str, ArrayLike],
    problems_N: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Part]:
    """Shares of each part, with percentile bootstrap intervals over problems.

    parts  name to one number per token, nats: for a token table own_state, interference and remainder. Tokens that
           lack a part (NaN, null in the table) are left out

    Raises:
        ValueError: no parts, no token that has them all, unequal numbers of them, or an infinite one.
    """
    if not parts:
        raise ValueError("a decomposition into no parts")
    columns = [np.asarray(values, np.float64) for values in parts.values()]
    labels_N = np.asarray(problems_N)
    if any(column.shape != labels_N.shape for column in columns):
        raise ValueError(f"{', '.join(parts)}: not one number for each of {labels_N.size} tokens")
    known_N = ~np.isnan(columns).any(axis=0)
    clusters = Clusters.of(labels_N[known_N])
    parts_KN = np.stack([numbers(column[known_N], name) for name, column in zip(parts, columns, strict=True)])
    whole_N = parts_KN.sum(axis=0)
    draws_RP = clusters.draws(resamples, seed)
    tokens_R1 = draws_RP @ clusters.sums(np.ones_like(whole_N)[None])
    square_R1 = draws_RP @ clusters.sums(whole_N[None] ** 2)
    mean_RK = (draws_RP @ clusters.sums(parts_KN)) / tokens_R1
    size_RK = draws_RP @ clusters.sums(np.abs(parts_KN))
    size_RK = quotient(size_RK, size_RK.sum(axis=1, keepdims=True))
    fit_RK = quotient(draws_RP @ clusters.sums(parts_KN * whole_N), square_R1)
    series = zip(mean_RK.T, size_RK.T, fit_RK.T, strict=True)
    found = (Part(*(estimate(values_R, level) for values_R in three)) for three in series)
    return dict(zip(parts, found, strict=True))
