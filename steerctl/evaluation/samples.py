"""The one form in which samples are counted: P questions times G samples, none missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steerctl.errors import UserError

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def matrix(correct_PG: ArrayLike | Sequence[Sequence[float | None]], name: str = "samples") -> Matrix:
    """Verdicts as float64 [P, G], each in [0, 1]; e.g. `[[1, 0], [True, 0.5]]`.

    Raises:
        UserError: there are none, a question has fewer samples than another, a sample is missing (None or NaN) or a
            value lies outside [0, 1]. What was not sampled is never counted as wrong.
    """
    found = correct_PG if isinstance(correct_PG, np.ndarray) else np.asarray(_rectangle(correct_PG, name))
    if found.ndim != 2 or not found.size or found.dtype.kind not in "biuf":
        raise UserError(f"{name}: expected questions with at least one sample each, found the shape {found.shape}")
    verdicts = found.astype(np.float64)
    missing = int(np.isnan(verdicts).sum())
    if missing:
        raise UserError(f"{name}: {missing} samples have no verdict; verify them, they do not count as wrong")
    if verdicts.min() < 0 or verdicts.max() > 1:
        raise UserError(f"{name}: expected verdicts between 0 and 1, found {verdicts.min():g} to {verdicts.max():g}")
    return verdicts


def _rectangle(correct_P_G: Any, name: str) -> list[list[float]]:  # noqa: ANN401 (whatever NumPy would take)
    rows = [[float("nan") if value is None else float(value) for value in row] for row in correct_P_G]
    counts = {len(row) for row in rows}
    if len(counts) > 1:
        most = max(counts)
        raise UserError(
            f"{name}: {sum(len(row) < most for row in rows)} of {len(rows)} questions have fewer than {most} samples "
            f"(one has {min(counts)}); sample the missing ones, they do not count as wrong"
        )
    return rows


def vector(values_P: ArrayLike, name: str = "values") -> Vector:
    """One finite number per question, float64.

    Raises:
        UserError: there are none, or one is NaN or infinite.
    """
    found = np.asarray(values_P, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise UserError(f"{name}: expected one number per question, got the shape {found.shape}")
    if not np.isfinite(found).all():
        raise UserError(f"{name}: {int((~np.isfinite(found)).sum())} of {found.size} questions have no value")
    return found
