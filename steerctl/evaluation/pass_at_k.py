"""avg@k and pass@k, one number per question."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from steerctl.errors import UserError
from steerctl.evaluation.samples import Vector, matrix
from steerctl.metrics.questions import pass_at


def avg_at_k(correct_PG: ArrayLike) -> Vector:
    """Mean verdict of a question's k = G samples, [P]; its expectation is pass@1's.

    Raises:
        UserError: a sample is missing.
    """
    mean: Vector = matrix(correct_PG).mean(axis=1)
    return mean


def pass_at_k(correct_PG: ArrayLike, k: int) -> Vector:
    """Chance that at least one of k samples is right, unbiased, from n = G ≥ k samples with c right ones, [P].

    1 − C(n − c, k) / C(n, k), `metrics/questions.py`. Verdicts between 0 and 1 are refused: there is no "right" among
    them. At k = n the estimate is "any was right", which is noisy: draw n ≥ 2k. Drawing with replacement (verl's
    best@N) is biased low.

    Raises:
        UserError: k > n, which no estimate can answer; a sample is missing; a verdict is neither 0 nor 1.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.
    """
    correct = matrix(correct_PG)
    n = correct.shape[1]
    if not 1 <= k <= n:
        raise UserError(f"pass@{k} needs at least {max(k, 1)} samples of each question, there are {n}; raise samples")
    if not np.isin(correct, (0.0, 1.0)).all():
        raise UserError(f"pass@{k}: some verdicts are neither 0 nor 1, so no sample is simply right")
    counts, index = np.unique(correct.sum(axis=1), return_inverse=True)
    chances: Vector = np.array([pass_at(k, int(right), n) for right in counts])
    return chances[index]
