"""Quantiles of the normal and of Student's t distribution, without SciPy."""

from __future__ import annotations

from functools import lru_cache
from math import atan, exp, inf, lgamma, log, pi, sqrt
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


def normal_cdf(x: float) -> float:
    """Φ(x)."""
    return _NORMAL.cdf(x)


def normal_quantile(p: float) -> float:
    """Φ⁻¹(p), p in (0, 1)."""
    return _NORMAL.inv_cdf(p)


def student_cdf(x: float, freedom: float) -> float:
    """P(t ≤ x) for `freedom` ≥ 1 degrees of freedom, any real number of them.

    With x = √ν tan θ the density becomes cos^(ν−1) θ, smooth, which 128 Gauss-Legendre nodes integrate to 1e-10.
    """
    if x == 0:
        return 0.5
    theta = atan(abs(x) / sqrt(freedom))
    angles = (1 + _NODES) * theta / 2
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - log(pi) / 2)
    mass = scale * theta / 2 * float(_WEIGHTS @ np.cos(angles) ** (freedom - 1))
    return 0.5 + mass if x > 0 else 0.5 - mass


@lru_cache(maxsize=4096)
def student_quantile(p: float, freedom: float) -> float:
    """The x with P(t ≤ x) = p in (0, 1), by halving; the normal quantile beyond 10 million degrees of freedom."""
    if freedom == inf or freedom > 1e7:
        return normal_quantile(p)
    if p < 0.5:
        return -student_quantile(1 - p, freedom)
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < p:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2
