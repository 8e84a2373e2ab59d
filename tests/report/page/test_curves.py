"""What is drawn over the steps."""

import math

import numpy as np
import pytest

from steerctl.evaluation.intervals import mean_interval
from steerctl.report.page.curves import panels, values_of


def panel(methods, key, points=200):
    return next(each for each in panels(methods.methods, points=points) if each.key == key)


def test_panels_are_those_that_say_something(methods):
    found = [each.key for each in panels(methods.methods, first=("validation/accuracy/mean",))]
    assert found[0] == "validation/accuracy/mean"
    assert "policy/entropy/mean" in found
    assert "entropy_change/measured/mean" in found
    assert "weight/mean" not in found  # 1 everywhere
    assert "accuracy/mean" not in found  # the reward
    assert "probe/first_order/pearson" not in found  # never measured
    assert panel(methods, "policy/entropy/mean").unit == "nats"


def test_mean_and_band_are_those_of_the_seeds(methods):
    curve = panel(methods, "reward/mean").curves[1]
    assert curve.steps_T.tolist() == list(range(1, 11))
    values = [values_of(run, "reward/mean")[3] for run in methods.methods[1].runs]
    expected = mean_interval(values)
    at = curve.steps_T.tolist().index(3)
    assert curve.bands.mean_T[at] == pytest.approx(expected.value)
    assert (curve.bands.low_T[at], curve.bands.high_T[at]) == pytest.approx((expected.low, expected.high))
    assert curve.runs_ST[:, at].tolist() == values


def test_a_long_curve_shows_means_of_stretches(methods):
    full, thin = panel(methods, "reward/mean"), panel(methods, "reward/mean", points=4)
    assert (full.stretch, thin.stretch) == (1, 3)
    assert thin.curves[0].steps_T.tolist() == [2, 5, 8, 11]
    assert thin.curves[0].runs_ST[0, 0] == pytest.approx(full.curves[0].runs_ST[0, :3].mean())


def test_step_0_stands_by_itself_and_gaps_stay_gaps(methods):
    curve = panel(methods, "validation/accuracy/mean", points=4).curves[0]
    assert curve.steps_T[0] == 0
    assert curve.bands.mean_T[0] == pytest.approx(0.2)
    assert len(curve.steps_T) == 3  # steps 0, 5, 10
    assert not np.isnan(curve.runs_ST).any()
    assert math.isnan(panel_of_one(methods).bands.low_T[0])


def panel_of_one(methods):
    one = type(methods.methods[0])("one", methods.methods[0].runs[:1])
    return panels([one])[0].curves[0]
