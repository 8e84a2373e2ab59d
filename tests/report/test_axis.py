"""The axis for both signs: half of the numbers in its even middle, cells even as drawn, powers of ten as marks."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from steerctl.report.axis import CELLS, TICKS, SignedAxis


def test_half_of_the_numbers_lie_in_the_even_part():
    values = np.concatenate([[0.0] * 50, np.geomspace(1e-3, 1, 201), -np.geomspace(1e-3, 1, 201)])
    axis = SignedAxis.of(values)
    assert axis.reach == 1
    assert axis.linear == pytest.approx(10**-1.5)


def test_the_even_part_is_bounded_by_the_largest():
    assert SignedAxis.of([1.0, 1.0, -1.0]).linear == pytest.approx(0.1)
    assert SignedAxis.of([1e-9] * 9 + [-2.0]).linear == pytest.approx(2e-4)
    assert SignedAxis.of([]) == SignedAxis.of([0.0]) == SignedAxis(0.1, 1.0)


def test_cells_are_even_as_drawn_and_hold_every_number():
    axis = SignedAxis(0.01, 3.0)
    for edges in (axis.edges(), axis.edges(7)):
        drawn = np.arcsinh(edges / axis.linear)
        assert np.allclose(np.diff(drawn), drawn[1] - drawn[0])
        assert edges[0] < -3 < 3 < edges[-1]
    assert len(axis.edges()) == CELLS + 1
    assert len(axis.edges(7)) == 8


@pytest.mark.parametrize(("linear", "reach"), [(1e-4, 1.0), (0.01, 0.05), (0.3, 3.0), (1e-9, 1e-5)])
def test_marks_are_powers_of_ten_alike_on_both_sides(linear, reach):
    axes = Figure().subplots()
    SignedAxis(linear, reach).along(axes, "y")
    ticks = axes.get_yticks()
    assert len(ticks) <= 2 * TICKS + 1
    assert (ticks == -ticks[::-1]).all()
    assert np.allclose(np.log10(ticks[ticks > 0]) % 1, 0, atol=1e-9) or np.allclose(np.log10(ticks[ticks > 0]) % 1, 1)
    assert axes.get_yscale() == "asinh"
    assert axes.get_xscale() == "linear"
    assert axes.get_ylim() == pytest.approx((-1.001 * reach, 1.001 * reach))
