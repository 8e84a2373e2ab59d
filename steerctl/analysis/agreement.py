"""How well predicted entropy changes agree with the measured ones, with intervals over problems.

For N tokens with prediction f (step size included), measured change y, both in nats, and for every sum over them:

    mse          mean (y − f)²                                            nats²
    r2           1 − Σ(y − f)² / Σ y²: nothing refitted, neither slope nor mean; 0 is what f = 0 would get
    slope        Σ f·y / Σ f²: what f must be multiplied with to fit best; 1 if its scale is right
    mse_fitted   mse of slope·f                                           nats²
    r2_fitted    r2 of slope·f = (Σ f·y)² / (Σ f² · Σ y²)
    pearson      correlation
    spearman     correlation of ranks, ties with their mean rank
    sign         share of tokens with sign f = sign y; where only one of them is 0 a token counts half, as a guess would
    top_K_size   for K percent of the tokens: overlap of those with the largest |f| and those with the largest |y|
    top_K_fall   the same for the largest falls: the smallest f and the smallest y

The overlap is |A ∩ B|/k with k = K percent of N, rounded, at least 1. Values tied at the border share the remaining
places evenly, and a token counts with the smaller of its two parts; so no measure depends on the order of the tokens.

Not defined (None): r2, r2_fitted where y is 0 everywhere; slope and what follows from it where f is; pearson and
spearman where f or y does not vary.

Intervals are percentile bootstraps that draw problems with replacement, and with them all their tokens. A drawn token
counts as often as its problem was drawn, in ranks and places too: nothing is approximated. Undefined resamples do not
count; with one problem there is no interval. Measures of rank and overlap take time in proportion to tokens times
resamples, so with many tokens they get fewer of them (`ordered_resamples`); 2,000 with 2,000 tokens take 0.2 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steerctl.analysis.bootstrap import LEVEL, RESAMPLES, SEED, Clusters, Estimate, Vector, estimate, numbers, quotient

TOP: Final = (0.2, 1.0, 5.0)
"""Percent of the tokens whose overlap is asked for."""
MEASURES: Final = (
    "mse", "r2", "slope", "mse_fitted", "r2_fitted", "pearson", "spearman", "sign",
    *(f"top_{percent:g}_{kind}" for kind in ("size", "fall") for percent in TOP),
)  # fmt: skip
_WORK = 4_000_000
"""Tokens times resamples that measures of rank and overlap are given."""
_FEWEST = 200
_CHUNK = 400_000
"""Numbers held at once per array: small enough to stay in the processor's cache."""
_NO_SPREAD = 1e-12
"""A variance below this share of the mean square is rounding."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Every measure of `MEASURES` for some tokens."""

    tokens: int
    problems: int
    measures: Mapping[str, Estimate]

    def flat(self) -> dict[str, float | int | None]:
        """One line of a table: name, name_low, name_high."""
        line: dict[str, float | int | None] = {"tokens": self.tokens, "problems": self.problems}
        for name, found in self.measures.items():
            line |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return line


def agreement(
    predicted_N: ArrayLike,
    measured_N: ArrayLike,
    problems_N: ArrayLike,
    *,
    step_size: ArrayLike = 1.0,
    resamples: int = RESAMPLES,
    ordered: int | None = None,
    seed: int = SEED,
    level: float = LEVEL,
) -> Agreement:
    """All measures of f = step_size · predicted against the measured change; formulas in the module's docstring.

    predicted_N  nats per unit step, or nats with step_size 1
    measured_N   nats
    problems_N   labels of the problems, which are what is resampled
    step_size    one for all or one per token; of all measures only mse, r2 and slope change if it is doubled
    ordered      of the resamples, how many spearman and the overlaps get; None: `ordered_resamples`

    Raises:
        ValueError: no tokens, unequal numbers of them, or a number that is not finite.
    """
    measured_N = numbers(measured_N, "measured change")
    predicted_N = numbers(np.asarray(predicted_N, np.float64) * np.asarray(step_size), "prediction", measured_N.size)
    clusters = Clusters.of(problems_N)
    if clusters.index_N.size != measured_N.size:
        raise ValueError(f"{clusters.index_N.size} problems for {measured_N.size} tokens")
    draws_RP = clusters.draws(resamples, seed)
    ordered = ordered_resamples(resamples, measured_N.size) if ordered is None else ordered
    ordered_RP = draws_RP[: 1 + ordered]
    found = _from_sums(predicted_N, measured_N, clusters, draws_RP)
    found |= _from_order(predicted_N, measured_N, clusters, ordered_RP)
    measures = {name: estimate(found[name], level) for name in MEASURES}
    return Agreement(measured_N.size, clusters.count, measures)


def ordered_resamples(resamples: int, tokens: int) -> int:
    """How many of the resamples are used for spearman and the overlaps: at least 200, if there are as many."""
    return min(resamples, max(_FEWEST, _WORK // tokens))


def _from_sums(predicted_N: Vector, measured_N: Vector, clusters: Clusters, draws_RP: Vector) -> dict[str, Vector]:
    """What sums over problems suffice for; [R] each."""
    f, y = predicted_N, measured_N
    df, dy = f - _middle(f), y - _middle(y)
    agree = 1 - np.abs(np.sign(f) - np.sign(y)) / 2
    columns = np.stack([np.ones_like(f), (y - f) ** 2, y * y, f * f, f * y, agree, df, dy, df * df, dy * dy, df * dy])
    n, error, yy, ff, fy, same, sf, sy, sff, syy, sfy = (draws_RP @ clusters.sums(columns)).T
    spread_f, spread_y = (_spread(square, total, n) for square, total in ((sff, sf), (syy, sy)))
    error_fitted = yy - fy * quotient(fy, ff)
    return {
        "mse": error / n,
        "r2": 1 - quotient(error, yy),
        "slope": quotient(fy, ff),
        "mse_fitted": np.maximum(error_fitted, 0) / n,
        "r2_fitted": quotient(fy, ff) * quotient(fy, yy),
        "sign": same / n,
        "pearson": np.clip(quotient(sfy - sf * sy / n, np.sqrt(spread_f * spread_y)), -1, 1),
    }


def _middle(values_N: Vector) -> float:
    """One of the values near the middle: centred by it, equal values become exactly 0."""
    return float(np.partition(values_N, values_N.size // 2)[values_N.size // 2])


def _spread(square: Vector, total: Vector, n: Vector) -> Vector:
    """Σ (x − mean)², 0 where nothing but rounding is left of it."""
    spread = square - total * total / n
    return np.where(spread > _NO_SPREAD * square, spread, 0.0)


def _from_order(predicted_N: Vector, measured_N: Vector, clusters: Clusters, draws_RP: Vector) -> dict[str, Vector]:
    """What needs the tokens in order; [R] each, some resamples at a time."""
    rising = _Order.of(predicted_N), _Order.of(measured_N)
    largest = _Order.of(-np.abs(predicted_N)), _Order.of(-np.abs(measured_N))
    rows = max(1, _CHUNK // measured_N.size)
    parts: dict[str, list[Vector]] = {}
    for start in range(0, len(draws_RP), rows):
        weights_RN = draws_RP[start : start + rows][:, clusters.index_N]
        ranked = rising[0].counted(weights_RN), rising[1].counted(weights_RN)
        sized = largest[0].counted(weights_RN), largest[1].counted(weights_RN)
        parts.setdefault("spearman", []).append(_spearman(*ranked, weights_RN))
        for name, value_R in _overlaps(ranked, sized, weights_RN):
            parts.setdefault(name, []).append(value_R)
    return {name: np.concatenate(values) for name, values in parts.items()}


@dataclass(frozen=True, slots=True)
class _Order:
    """Tokens from the smallest value to the largest; equal values form one of M groups."""

    order_N: NDArray[np.int64]
    last_M: NDArray[np.int64]
    """Place in the order of each group's last token."""
    group_N: NDArray[np.int64]
    """Group of each token, the tokens as they were given."""

    @classmethod
    def of(cls, values_N: Vector) -> _Order:
        order_N = np.argsort(values_N, kind="stable")
        ordered = values_N[order_N]
        last_M = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        group_N = np.empty_like(order_N)
        group_N[order_N] = np.searchsorted(last_M, np.arange(values_N.size))
        return cls(order_N, last_M, group_N)

    def counted(self, weights_RN: Vector) -> _Counted:
        """The same for tokens that occur several times, or not at all."""
        upto_RM = np.cumsum(weights_RN[:, self.order_N], axis=1)[:, self.last_M]
        before_RM = np.concatenate([np.zeros((len(upto_RM), 1)), upto_RM[:, :-1]], axis=1)
        return _Counted(before_RM, upto_RM, self.group_N)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Copies of tokens before and up to the end of each group, per resample."""

    before_RM: Vector
    upto_RM: Vector
    group_N: NDArray[np.int64]

    def ranks(self) -> Vector:
        """Mean rank of each token's copies less the mean of all ranks, [R, N]."""
        centred_RM = (self.before_RM + self.upto_RM - self.upto_RM[:, -1:]) / 2
        centred_RN: Vector = centred_RM[:, self.group_N]
        return centred_RN

    def places(self, k_R1: Vector, tokens_L: NDArray[np.int64]) -> Vector:
        """Part of each copy of some tokens that lies among the first k, [R, L]."""
        groups_L = self.group_N[tokens_L]
        before_RL, upto_RL = self.before_RM[:, groups_L], self.upto_RM[:, groups_L]
        size_RL = upto_RL - before_RL
        part_RL: Vector = np.clip(k_R1 - before_RL, 0, size_RL) / np.maximum(size_RL, 1)
        return part_RL

    def among_first(self, k_R1: Vector) -> NDArray[Any]:
        """Tokens that lie among the first k in some resample."""
        reached_M: NDArray[np.bool_] = np.any(self.before_RM < k_R1, axis=0)
        return np.flatnonzero(reached_M[self.group_N])


def _spearman(left: _Counted, right: _Counted, weights_RN: Vector) -> Vector:
    left_RN, right_RN = left.ranks(), right.ranks()
    weighted_RN = weights_RN * left_RN
    together = np.einsum("rn,rn->r", weighted_RN, right_RN)
    spread = np.einsum("rn,rn->r", weighted_RN, left_RN) * np.einsum("rn,rn,rn->r", weights_RN, right_RN, right_RN)
    return np.clip(quotient(together, np.sqrt(spread)), -1, 1)


def _overlaps(
    ranked: tuple[_Counted, _Counted], sized: tuple[_Counted, _Counted], weights_RN: Vector
) -> Iterator[tuple[str, Vector]]:
    total_R1 = weights_RN.sum(axis=1, keepdims=True)
    for percent in TOP:
        k_R1 = np.maximum(1, np.rint(total_R1 * percent / 100))
        for kind, (left, right) in (("size", sized), ("fall", ranked)):
            tokens_L = left.among_first(k_R1)
            both_RL = np.minimum(left.places(k_R1, tokens_L), right.places(k_R1, tokens_L))
            yield f"top_{percent:g}_{kind}", (weights_RN[:, tokens_L] * both_RL).sum(axis=1) / k_R1[:, 0]
