"""What a run shows: narrow and wide, plain and quiet."""

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from steerctl.cli._display import SHOWN, LivePanel, Plain, Quiet, display
from steerctl.cli._write import clock, sparkline
from steerctl.metrics.catalogue import metrics
from steerctl.run.reporter import LOADING, Everyone
from steerctl.spec.experiment import ExperimentSpec

NUMBERS = {
    "reward/mean": 0.4121, "policy/entropy/mean": 0.8123, "policy/entropy_after/mean": 0.79, "accuracy/mean": 0.5,
    "entropy_change/exact/mean": -2.1e-3, "clip/high/fraction": 0.0031, "clip/low/fraction": 0.0011,
    "optim/grad_norm/mean": math.nan, "throughput/tokens/per_second": 4123.0, "time/step/seconds": 1.94,
}  # fmt: skip


class Kind:
    def __init__(self, kind):
        self.kind = kind


class Algorithm:
    advantage = Kind("grpo")
    interventions = (Kind("steer"),)


@pytest.fixture
def spec():
    return ExperimentSpec.model_construct(name="toy", algorithm=Algorithm())


def console(width, *, terminal):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, legacy_windows=False)


def run(reporter, spec, steps=20):
    reporter.start(spec, Path("runs/toy"), 1, 100)
    for step in range(1, steps + 1):
        reporter.phase(step, "generate", 128, 512)
        reporter.step(step, {**NUMBERS, "reward/mean": step / 100})
    reporter.phase(steps + 1, "generate", 128, 512)
    return reporter


def panel_text(spec, width):
    reporter = run(LivePanel(console(width, terminal=True)), spec)
    plain = console(width, terminal=False)
    plain.print(reporter._panel)
    reporter.close()
    return plain.file.getvalue()


@pytest.mark.parametrize("width", [60, 90, 140])
def test_the_panel_fits_and_says_it(spec, width):
    text = panel_text(spec, width)
    lines = text.rstrip("\n").split("\n")
    assert max(len(line) for line in lines) <= width
    for expected in ("toy: grpo + steer", "20/100", "left", "0.200", "0.812", "-2.10e-03", "0.31%", "4,123", "128/512"):
        assert expected in text, expected
    assert "▁▁▂" in text
    assert "nan" not in text
    assert len(lines) == (11 if width < 90 else 7)


@pytest.mark.parametrize("width", [30, 34, 40, 49])
def test_a_small_terminal_reads_well(spec, width):
    text = panel_text(spec, width)
    lines = text.rstrip("\n").split("\n")
    assert max(len(line.rstrip()) for line in lines) <= width
    assert lines[0].startswith("toy: grpo + steer"[:width])
    assert [line[:6] for line in lines[3:5]] == ["reward", "entrop"]
    for expected in (
        "20/100",
        "0.200",
        "0.812",
        "-2.10e-03",
        "0.31%",
        "4,123",
        *(("predicted", "128/512") * (width > 24)),
    ):
        assert expected in text, expected
    assert ("▁" in text) == (width >= 34)
    assert len(lines) == 12


def test_nothing_is_cut_when_there_is_one_step_and_no_room(spec):
    terminal = console(30, terminal=True)
    reporter = LivePanel(terminal)
    reporter.start(spec, Path("runs/toy"), 1, 1)
    reporter.step(1, {})
    reporter.close()
    lines = terminal.file.getvalue().splitlines()
    assert any("toy: grpo + steer" in line for line in lines)
    assert any("1/1" in line for line in lines)


@pytest.mark.parametrize(("kind", "said"), [(Plain, True), (LivePanel, True), (Quiet, False)])
def test_that_loading_began_is_said_at_once(kind, said):
    terminal = console(80, terminal=kind is LivePanel)
    reporter = kind(terminal)
    reporter.phase(0, LOADING, 0, 0)
    reporter.close()
    assert ("loading the policy" in terminal.file.getvalue()) == said


def test_the_live_panel_ends_with_the_message(spec):
    terminal = console(80, terminal=True)
    reporter = run(LivePanel(terminal), spec, steps=2)
    reporter.note("wandb could not start")
    reporter.finish("interrupted; go on with: steerctl train --resume runs/toy")
    reporter.close()
    text = terminal.file.getvalue()
    assert "wandb could not start" in text
    assert text.rstrip().endswith("steerctl train --resume runs/toy")


def test_plain_is_one_line_per_step_however_long(spec):
    out = console(60, terminal=False)
    run(Plain(out), spec, steps=3).finish("done")
    lines = out.file.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "toy: grpo + steer; steps 1 to 100; runs/toy"
    assert lines[2].startswith("step 2/100  reward 0.020  entropy 0.812  after 0.790  dH/eta -2.1e-03  clip+ 0.31%")
    assert "left 0:00" in lines[2]
    assert lines[2].isascii()
    assert lines[4] == "done"


def test_quiet_is_only_the_end(spec):
    out = console(60, terminal=True)
    run(Quiet(out), spec).finish("done")
    assert out.file.getvalue() == "done\n"


def test_the_choice():
    assert type(display(console=console(80, terminal=True))) is LivePanel
    assert type(display(console=console(80, terminal=False))) is Plain
    assert type(display(quiet=True, console=console(80, terminal=True))) is Quiet


def test_markup_in_names_is_text(spec):
    out = console(90, terminal=False)
    reporter = Everyone([Plain(out), Quiet(out)])
    reporter.note("[bold]runs/[1]")
    assert out.file.getvalue() == "[bold]runs/[1]\n" * 2


def test_sparkline():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3, 3]) in {"▄▄", "▅▅"}
    assert sparkline([0, math.nan, 1]) == "▁ █"
    assert sparkline([math.nan]) == " "
    assert sparkline([]) == ""
    assert sparkline(list(range(1000)), cells=4) == "▁▃▆█"


def test_clock():
    assert [clock(seconds) for seconds in (0, 65.9, 7384)] == ["0:00", "1:05", "2:03:04"]


def test_every_shown_metric_is_in_the_catalogue():
    assert {item.key for item in SHOWN} | set(NUMBERS) <= set(metrics())
