"""Every picture as a file."""

from steerctl.report.page.figures import write_figures
from steerctl.report.page.report import Report


def test_a_file_per_panel_and_the_two_numbers(report, tmp_path):
    few = [panel for panel in report.panels if panel.key in {"reward/mean", "clip/low/fraction"}]
    small = Report(
        report.title, report.methods, report.question, report.numbers, tuple(few), report.costs, report.front
    )
    found = write_figures(small, tmp_path / "figures")
    assert [path.name for path in found] == ["reward-mean.svg", "clip-low-fraction.svg", "pareto.svg"]
    first = [path.read_bytes() for path in found]
    assert all(b"<svg" in each for each in first)
    assert [path.read_bytes() for path in write_figures(small, tmp_path / "figures")] == first
