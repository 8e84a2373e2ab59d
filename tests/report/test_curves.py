"""The figure: both formats, reproducible, atomic."""

import pytest

from steerctl.errors import StorageError, UserError
from steerctl.report.curves import draw_curves


def test_svg_is_reproducible_and_names_what_it_shows(pair, tmp_path):
    draw_curves(pair, tmp_path / "a.svg")
    draw_curves(pair, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_png(pair, tmp_path):
    draw_curves(pair, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "runs"]


def test_wrong_ending_and_missing_folder(pair, tmp_path):
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        draw_curves(pair, tmp_path / "a.pdf")
    with pytest.raises(StorageError, match="nowhere"):
        draw_curves(pair, tmp_path / "nowhere" / "a.svg")
