"""Figures of the laboratory: what is drawn where, on axes as returned before saving; hard inputs."""

from contextlib import contextmanager

import numpy as np
import pytest

from steerctl.report import agreement as module
from steerctl.report import canvas
from steerctl.report.agreement import Point, ScatterPanel, draw_lines, draw_scatter, draw_shares
from steerctl.report.axis import TICKS


@pytest.fixture
def figures(monkeypatch):
    """Figures as they were when they were written."""
    seen = []

    @contextmanager
    def watched(*paths, **size):
        with canvas.drawing(*paths, **size) as figure:
            yield figure
        seen.append(figure)

    monkeypatch.setattr(module, "drawing", watched)
    return seen


def changes(count=500, seed=0):
    rng = np.random.default_rng(seed)
    measured = 1e-3 * rng.standard_t(2, count)
    return measured + 1e-4 * rng.standard_normal(count), measured


def test_scatter_counts_every_token_on_common_axes(figures, tmp_path):
    predicted, measured = changes()
    panels = [ScatterPanel("one", predicted, measured, "r 0.9"), ScatterPanel("two", 3 * predicted, measured)]
    panels += [ScatterPanel(f"panel {index}", -predicted, measured) for index in range(2)]
    draw_scatter(panels, tmp_path / "a.png", tmp_path / "a.svg")
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.png", "a.svg"}
    (figure,) = figures
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in drawn] == ["one", "two", "panel 0", "panel 1"]
    for axes in drawn:
        counts = np.nan_to_num(np.ma.filled(axes.collections[0].get_array(), 0))
        assert counts.sum() == len(measured)
        assert axes.get_xlim() == axes.get_ylim() == drawn[0].get_xlim()
    assert drawn[0].get_ylabel() == "measured change (nats)"
    assert drawn[3].get_xlabel() == "predicted change (nats)"


def test_scatter_axes_mark_powers_of_ten_and_zero(figures, tmp_path):
    draw_scatter([ScatterPanel("one", *changes(5_000))], tmp_path / "a.png")
    ticks = figures[0].axes[0].get_xticks()
    assert len(ticks) <= 2 * TICKS + 1
    assert 0 in ticks
    assert np.allclose(np.log10(ticks[ticks > 0]) % 1, 0)
    assert (ticks == -ticks[::-1]).all()


@pytest.mark.parametrize(
    ("predicted", "measured"), [([], []), ([0.0], [0.0]), ([1e-12], [0.0]), ([2.0, 2.0], [2.0, 2.0])]
)
def test_scatter_of_next_to_nothing(predicted, measured, tmp_path):
    draw_scatter([ScatterPanel("one", predicted, measured)], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1_000


def test_lines_keep_value_interval_and_colour(figures, tmp_path):
    points = {"exact": [Point(1e-5, 0.4, 0.3, 0.5), Point(1e-4, 0.3, 0.2, 0.4)], "first order": [Point(1e-5, 1, 1, 1)]}
    draw_lines({"Pearson": points, "sign": {"first order": points["first order"]}}, tmp_path / "a.png", setting="rate")
    (figure,) = figures
    left, right = figure.axes
    data, _, (bars,) = left.containers[0]
    assert data.get_ydata().tolist() == [0.4, 0.3]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.3, 0.5], [0.2, 0.4]]
    assert np.allclose(data.get_xdata(), [1e-5, 1e-4], rtol=0.1)
    assert left.containers[1][0].get_color() == right.containers[0][0].get_color() != data.get_color()
    assert (left.get_xscale(), left.get_ylabel(), right.get_xlabel()) == ("log", "Pearson", "rate")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["exact", "first order"]


def test_shares_stack_to_a_hundred(figures, tmp_path):
    panel = {"1e-05": {"own state": 0.2, "interference": 0.75, "remainder": 0.05}}
    draw_shares({"SGD": panel, "AdamW": panel}, tmp_path / "a.png", setting="learning rate")
    left, right = figures[0].axes
    assert [patch.get_width() for patch in left.patches] == pytest.approx([20, 75, 5])
    assert [patch.get_x() for patch in left.patches] == pytest.approx([0, 20, 95])
    assert [text.get_text() for text in left.texts] == ["20", "75"]  # 5 % is too narrow for its number
    assert (left.get_title(), right.get_title()) == ("SGD", "AdamW")


def test_nothing_to_draw(tmp_path):
    for draw in (lambda: draw_scatter([], tmp_path / "a.png"), lambda: draw_lines({}, tmp_path / "a.png", setting="")):
        with pytest.raises(ValueError, match="without panels"):
            draw()
    with pytest.raises(ValueError, match="without bars"):
        draw_shares({"SGD": {}}, tmp_path / "a.png", setting="")
    with pytest.raises(ValueError, match="outside 0 to 1"):
        draw_shares({"SGD": {"1": {"own": 1.2, "rest": -0.2}}}, tmp_path / "a.png", setting="")
    assert list(tmp_path.iterdir()) == []
