"""What `steerctl rollout` shows while it samples."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from steerctl.cli import _sampling
from steerctl.cli._sampling import Gauge, LiveLine, PlainLines, Silent, sampling_display


@pytest.fixture
def now(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(_sampling.time, "monotonic", lambda: clock[0])
    return clock


def test_time_left_counts_responses_under_way_by_their_tokens(now) -> None:
    gauge = Gauge(done=20, total=120, longest=50)
    assert gauge.left is None
    now[0] += 10
    gauge.add(250)  # nothing finished yet: 250 tokens are worth 5 responses of the longest kind
    assert gauge.reached == 25
    assert gauge.left == pytest.approx(10 / 5 * 95)
    gauge.keep(40)  # 20 responses with 250 tokens: 12.5 each
    gauge.add(125)
    assert gauge.reached == 50
    assert gauge.left == pytest.approx(10 / 30 * 70)
    assert gauge.speed == pytest.approx(37.5)
    assert gauge.line() == "40/120 responses  38 tokens/s  0:10  0:23 left"


def test_plain_lines_come_now_and_then_and_at_the_end(now) -> None:
    out = io.StringIO()
    display = sampling_display(console=Console(file=out, width=200))
    assert isinstance(display, PlainLines)
    display.start("exp: embedded 1, train", 4, 8, 50)
    for _ in range(20):
        now[0] += 0.5
        display.tokens(10)
    display.samples(8)
    display.close()
    lines = out.getvalue().splitlines()
    assert lines[0] == "exp: embedded 1, train; 8 responses, 4 are there"
    assert 3 <= len(lines) <= 5
    assert lines[-1].startswith("8/8 responses  20 tokens/s")


def test_a_terminal_gets_a_bar_and_gets_it_taken_away(now) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, legacy_windows=False, _environ={"TERM": "xterm"})
    display = LiveLine(console)
    display.start("exp", 0, 8, 50)
    display.tokens(30)
    display.samples(4)
    display._live.refresh()
    display.close()
    display.close()
    assert "4/8 responses" in out.getvalue()
    assert out.getvalue().startswith("exp")


def test_quiet_is_quiet() -> None:
    assert isinstance(sampling_display(quiet=True), Silent)
