"""Moments: by hand, and merged."""

import numpy as np
import pytest

from steerctl.metrics.moments import Moments


def test_moments_by_hand():
    moments = Moments.of(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 9.0]]))
    assert moments.mean.tolist() == [2.0, 5.0]
    first, second = np.eye(2)
    assert moments.covariance(first, second) == pytest.approx(7 / 3)
    assert moments.deviation(first) == pytest.approx((2 / 3) ** 0.5)
    assert moments.correlation(first, first - 0 * second) == pytest.approx(1)
    assert np.isnan(moments.correlation(first, 0 * first))


@pytest.mark.parametrize("cuts", [(), (1,), (40, 41), (0, 100)])
def test_moments_merge_like_one_set(cuts):
    rows = np.random.default_rng(1).normal(1e6, 1.0, (3, 100))
    parts = np.split(rows, cuts, axis=1)
    merged = Moments.of(parts[0])
    for part in parts[1:]:
        merged = merged.merge(Moments.of(part))
    assert merged.count == 100
    np.testing.assert_allclose(merged.comoment / 100, np.cov(rows, bias=True), rtol=1e-7, atol=1e-9)
