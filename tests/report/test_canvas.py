"""The canvas: both forms at once, byte for byte reproducible, nothing left where the drawing fails."""

import pytest

from steerctl.errors import StorageError, UserError
from steerctl.report.canvas import drawing, note, series_style


def draw(*paths):
    with drawing(*paths, width=3.0, height=2.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [1, 0], **series_style(0))
        note(axes, "two points", corner="lower right")


def test_both_forms_and_the_same_bytes_again(tmp_path):
    draw(tmp_path / "a.svg", tmp_path / "a.png")
    draw(tmp_path / "b.svg", tmp_path / "b.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<text" not in (tmp_path / "a.svg").read_text()  # letters are drawn as paths: no font is needed


def test_series_differ_in_colour_and_marker():
    styles = [series_style(index) for index in range(5)]
    assert len({style["color"] for style in styles}) == len({style["marker"] for style in styles}) == 5


def test_wrong_ending_missing_folder_and_a_failing_drawing(tmp_path):
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        draw(tmp_path / "a.svg", tmp_path / "a.pdf")
    with pytest.raises(StorageError, match="nowhere"):
        draw(tmp_path / "nowhere" / "a.svg")
    with pytest.raises(RuntimeError), drawing(tmp_path / "a.svg", width=3.0, height=2.0):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
