"""Quantiles against SciPy."""

import pytest
from scipy import stats

from steerctl.evaluation.student import normal_cdf, normal_quantile, student_cdf, student_quantile

FREEDOMS = (1, 1.7, 2, 5, 29, 39.5, 271, 674, 1e5)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("x", [-12.0, -1.96, -0.1, 0.0, 0.5, 2.05, 6.0])
def test_cdf(x, freedom):
    assert student_cdf(x, freedom) == pytest.approx(stats.t.cdf(x, freedom), abs=1e-10)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("p", [0.005, 0.025, 0.5, 0.8, 0.975, 0.999])
def test_quantile(p, freedom):
    assert student_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-8, abs=1e-8)


def test_normal():
    assert student_quantile(0.975, float("inf")) == normal_quantile(0.975)
    assert normal_cdf(normal_quantile(0.1)) == pytest.approx(0.1)
