"""What `runs list` and `runs show` print."""

import io

from rich.console import Console

from steerctl.report.overview import list_table, run_tables


def text_of(*tables):
    console = Console(file=io.StringIO(), width=300, color_system=None)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_list(pair):
    lines = text_of(list_table(pair)).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[1:] == ["finished", "12", "0.12", "0.04979", "2026-01-02", "03:04"]


def test_show(pair):
    text = text_of(*run_tables(pair[0]))
    assert "finished after step 12" in text
    assert "steerctl train" in text
    row = next(line for line in text.splitlines() if line.startswith("policy/entropy/mean"))
    assert row.split() == ["policy/entropy/mean", "0.04979", "nats"]
