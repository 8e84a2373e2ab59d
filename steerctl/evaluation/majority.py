"""maj@k: what a vote among k samples would score."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from steerctl.errors import UserError
from steerctl.evaluation.samples import Vector, matrix

MOST_SAMPLES = 1_000
"""Beyond it C(n, k) leaves float64."""


def majority_at_k(classes_P_G: Sequence[Sequence[int | None]], correct_PG: ArrayLike, k: int) -> Vector:
    """Expected score of the most frequent answer among k of a question's n = G samples, [P].

    `classes_P_G[i][j]` tells which answers are equal (by value, not by spelling); None is "no answer", all of which
    together are one class that can win and scores 0. A tie of t classes gives 1/t to each. A class scores the mean
    verdict of its samples, which is 0 or 1 where the grader agrees with the classes.

    Exact over all C(n, k) subsets, so no seed: class j wins with c votes in a tie of t when c of its n_j samples, t − 1
    times c of another class's and fewer of every other's are drawn; with y counting the ties,
        Σ_c C(n_j, c) / C(n, k) · ∫_0^1 [x^(k−c)] Π_{i≠j} (Σ_{m<c} C(n_i, m) x^m + y C(n_i, c) x^c) dy,
    since ∫ y^(t−1) dy = 1/t; the integral is a Gauss-Legendre sum that is exact for its polynomial.

    Raises:
        UserError: k > n; a sample is missing; more than 1,000 samples.

    Source: our own; the estimand is that of self-consistency (Wang et al. 2022, arXiv 2203.11171).
    """
    correct = matrix(correct_PG)
    n = correct.shape[1]
    if not 1 <= k <= n:
        raise UserError(f"maj@{k} needs at least {max(k, 1)} samples of each question, there are {n}; raise samples")
    if n > MOST_SAMPLES:
        raise UserError(f"maj@{k}: {n} samples of a question are more than {MOST_SAMPLES:,}")
    if len(classes_P_G) != len(correct) or any(len(row) != n for row in classes_P_G):
        raise UserError(f"maj@{k}: every sample needs its class of answers")
    return np.array([_expected(row, verdicts, k) for row, verdicts in zip(classes_P_G, correct, strict=True)])


def _expected(classes_G: Sequence[int | None], correct_G: Vector, k: int) -> float:
    labels = np.array([-1 if each is None else each for each in classes_G])
    _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    scores = np.bincount(index, np.where(labels == -1, 0.0, correct_G)) / sizes
    if k == len(labels):
        winners = sizes == sizes.max()
        return float(scores[winners].mean())
    return float(sum(score * _win(sizes, j, k) for j, score in enumerate(scores) if score))


def _win(sizes: np.ndarray, j: int, k: int) -> float:
    """Chance, ties shared, that class j leads among k drawn samples."""
    others = [int(size) for size in np.delete(sizes, j)]
    total = comb(int(sizes.sum()), k)
    chance = 0.0
    for votes in range(1, min(int(sizes[j]), k) + 1):
        chance += comb(int(sizes[j]), votes) * (_shared(others, votes, k - votes) / total)
    return chance


def _shared(others: list[int], votes: int, rest: int) -> float:
    """Ways to draw `rest` samples of the other classes, none above `votes`, a tie of t counting 1/t."""
    if rest > sum(min(size, votes) for size in others):
        return 0.0
    ties = min(rest // votes, len(others))
    nodes, weights = np.polynomial.legendre.leggauss(ties // 2 + 1)
    ways = np.zeros((len(nodes), rest + 1))
    ways[:, 0] = 1.0
    tied = (1 + nodes) / 2
    for size in others:
        grown = ways.copy()
        for drawn in range(1, min(size, votes, rest) + 1):
            times = comb(size, drawn) * (tied if drawn == votes else np.ones_like(tied))
            grown[:, drawn:] += times[:, None] * ways[:, : rest + 1 - drawn]
        ways = grown
    return float(weights @ ways[:, rest] / 2)
