"""The probed tokens of a step in a few numbers: how far the predictions go with what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steerctl.metrics.catalogue import PREDICTED
from steerctl.metrics.moments import Moments
from steerctl.metrics.tally import Mean, Tally


def probe_tally(tokens: Mapping[str, NDArray[Any]]) -> Tally:
    """One update's probed tokens: the column `measured`, and those of PREDICTED that there are; keys: catalogue."""
    measured = tokens["measured"]
    means = {"probe/measured/abs_mean": _mean(np.abs(measured))}
    rows = [measured]
    for name in PREDICTED:
        rows.append(tokens.get(name, np.zeros_like(measured)))
        if name in tokens:
            apart = np.abs(np.sign(tokens[name]) - np.sign(measured))
            means[f"probe/{name}/sign_agreement"] = _mean(1 - apart / 2)
    return Tally(
        means=means,
        counts={"probe/positions/count": float(len(measured))},
        moments={"probe": Moments.of(np.stack(rows).astype(np.float64))},
        readings={"probe": read_correlations},
    )


def read_correlations(moments: Moments) -> dict[str, float]:
    """Pearson correlation of each of PREDICTED with the measured change; rows: measured, then PREDICTED."""
    measured, *directions = np.eye(len(moments.mean))
    found = {name: moments.correlation(each, measured) for name, each in zip(PREDICTED, directions, strict=True)}
    return {f"probe/{name}/pearson": value for name, value in found.items() if np.isfinite(value)}


def _mean(values: NDArray[Any]) -> Mean:
    return Mean(float(values.sum()), float(values.size))
