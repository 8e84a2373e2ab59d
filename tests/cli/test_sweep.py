"""`steerctl sweep` and `steerctl check` of a sweep, without training; running: tests/sweep/test_worker.py."""

from __future__ import annotations

import io
import json

from rich.console import Console
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.cli._sweep_display import LiveTable, Plain, comparison_table, headline, variants_table
from steerctl.sweep.progress import CellView, Snapshot
from steerctl.sweep.summary import VariantRow
from tests.sweep.sweeps import VARIANTS, write_sweep

RUN = CliRunner()


def view(variant, seed, state, step=0, value=None):
    return CellView(f"{variant}-seed{seed}", variant, seed, state, step, 10, value, None, None, 1, "")


SNAPSHOT = Snapshot(
    (
        view("grpo", 1, "finished", 10, 0.25),
        view("steer", 1, "running", 4),
        view("grpo", 2, "failed"),
        view("steer", 2, "waiting"),
    ),
    "validation/accuracy/mean",
    125.0,
)


def drawn(table, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_dry_run_prints_cells_and_cost_and_leaves_no_trace(tmp_path):
    sweep = write_sweep(tmp_path, seeds=[1, 2])
    done = RUN.invoke(build(), ["sweep", str(sweep), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()[1:5]] == [
        "grpo-seed1", "steer-seed1", "grpo-seed2", "steer-seed2",
    ]  # fmt: skip
    # 3 steps · 16 responses · 16 tokens, and 2 validations · 8 problems · 16 tokens
    assert f"4 cells; at most {4 * (3 * 16 * 16 + 2 * 8 * 16):,} sampled tokens" in done.output
    assert not (tmp_path / "runs").exists()


def test_dry_run_says_what_would_stop_or_spoil_the_sweep(tmp_path):
    done = RUN.invoke(build(), ["sweep", str(write_sweep(tmp_path)), "metric=validation/acuracy/mean", "--dry-run"])
    assert done.exit_code == 2
    assert "warning: seeds: 1 per variant: no interval can be given" in done.output
    assert "error: metric: validation/acuracy/mean is no metric; did you mean validation/accuracy/mean?" in done.output


def test_dry_run_of_a_sweep_for_another_machine(tmp_path):
    sweep = write_sweep(tmp_path, base={"engine": {"device": "cuda", "ranks": 64, "zero_stage": 3}})
    done = RUN.invoke(build(), ["sweep", str(sweep), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "2 cells; at most" in done.output


def test_the_comparison_fits_a_small_terminal():
    rows = [
        VariantRow(name, "m", "last", 5, 0.3125, 0.1, 0.1883, 0.4367, base, 5, apart, apart and -0.1, apart and 0.12)
        for name, base, apart in (("grpo-lr-0.0002", "", None), ("clip_higher-lr-0.0002", "grpo-lr-0.0002", 0.01))
    ]
    lines = drawn(comparison_table(rows, "m"), 80).splitlines()
    assert [line.split()[0] for line in lines] == ["variant", "grpo-lr-0.0002", "clip_higher-lr-0.0002"]
    assert "0.312 [0.188, 0.437]  +0.010 [-0.100, +0.120]" in lines[2]
    assert "less grpo-lr-0.0002" in lines[0]
    assert comparison_table([], "m").row_count == 0


def test_check_takes_sweeps_and_experiments_alike(tmp_path):
    secret = {"algorithm.interventions": [{"kind": "steer"}], "algorithm.loss.clip_ratio_high": 0.28}
    sweep = write_sweep(tmp_path, axes=[{"variants": [VARIANTS[0], {"name": "steer", "set": secret}]}])
    done = RUN.invoke(build(), ["check", "--brief", "--elsewhere", str(sweep), str(tmp_path / "base.yaml")])
    assert done.exit_code == 0, done.output
    assert f"warning: {sweep}: steer: differs from grpo in its clip bound too" in done.output
    assert f"{sweep}: 2 variants, 1 seed each: ready (2 warnings)" in done.output
    assert f"{tmp_path / 'base.yaml'}: ready" in done.output
    answer = json.loads(RUN.invoke(build(), ["check", "--json", "--elsewhere", str(sweep)]).output)
    assert answer["variants"] == ["grpo", "steer"]


def test_an_experiment_that_cannot_run_stops_the_sweep_before_it_begins(tmp_path):
    broken = {"name": "broken", "set": {"engine.offload_optimizer": True}}
    sweep = write_sweep(tmp_path, axes=[{"variants": [VARIANTS[0], broken]}])
    done = RUN.invoke(build(), ["sweep", str(sweep)])
    assert done.exit_code != 0
    assert "engine.offload_optimizer: is for training on GPU" in str(done.exception)
    assert not (tmp_path / "runs").exists()


def test_the_table_names_what_runs_and_fits_its_room():
    assert headline(SNAPSHOT) == "1 of 4 cells finished, 1 running, 1 failed; left 2:05"
    text = drawn(variants_table(SNAPSHOT, 20))
    assert "grpo     █✗     0.2500" in text
    assert "seed 1: 4/10" in text
    many = Snapshot(
        tuple(view(f"v{index}", 1, "running" if index == 9 else "waiting") for index in range(10)), "m", None
    )
    short = drawn(variants_table(many, 3), 60)
    assert "v9" in short
    assert "and 7 more" in short


def test_a_file_gets_lines_and_a_terminal_a_table():
    plain = Console(file=io.StringIO(), width=100)
    shown = Plain(plain)
    shown.update(SNAPSHOT)
    shown.update(SNAPSHOT)
    shown.note("grpo-seed1: finished")
    assert plain.file.getvalue().splitlines() == [headline(SNAPSHOT), "grpo-seed1: finished"]
    live = Console(file=io.StringIO(), width=100, height=20, force_terminal=True)
    table = LiveTable(live)
    table.update(SNAPSHOT)
    table.close()
    assert "steer" in live.file.getvalue()
