"""`steerctl report`: the command as a user types it."""

import csv
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.errors import RunFolderError, UserError
from steerctl.sweep.spec import SweepSpec
from tests.report.page.runs import write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "clip"
    for method in ("grpo", "steer", "wide"):
        for seed in (1, 2, 3):
            write_run(folder / "runs", method, seed)
    contrasts = [
        {"says": "Does STEER <keep> entropy?", "variant": "steer", "baseline": "grpo", "metric": "policy/entropy/mean"},
        {"says": "Is it better?", "variant": "steer"},
        {"says": "Not there yet", "variant": "absent", "baseline": "grpo"},
    ]
    spec = SweepSpec(
        name="clip", base="b.yaml", metric="reward/mean", last_steps=2, metrics=["clip/high/fraction"],
        contrasts=contrasts,
    )  # fmt: skip
    said = spec.model_dump(mode="json", exclude={"storage"}) | {"file": "sweep.yaml", "overrides": ["steps=10"]}
    (folder / "sweep.json").write_text(json.dumps(said))
    rows = ["variant,metric,baseline", "wide,reward/mean,", "grpo,reward/mean,wide", "steer,reward/mean,wide"]
    (folder / "variants.csv").write_text("\n".join(rows) + "\n")
    return folder


def call(*arguments):
    return CliRunner().invoke(build(), ["report", *[str(argument) for argument in arguments]])


def test_a_sweep_says_what_is_compared(sweep):
    result = call(sweep)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(sweep / "report.html")]
    text = (sweep / "report.html").read_text("utf-8")
    assert "<h1>clip</h1>" in text
    assert "mean of the last 2 steps" in text
    assert "cells are finished" not in text
    assert "against wide" in text
    assert text.index(">wide</span>") < text.index(">grpo</span>") < text.index(">steer</span>")


def test_planned_contrasts_stand_first_and_are_a_family_of_their_own(sweep, tmp_path):
    out = tmp_path / "page.html"
    assert call(sweep, "--out", out, "--tables", tmp_path).exit_code == 0
    rows = list(csv.DictReader((tmp_path / "contrasts.csv").open()))
    assert [(row["asked"], row["metric"], row["method"], row["baseline"], row["pairs"]) for row in rows] == [
        ("Does STEER <keep> entropy?", "policy/entropy/mean", "steer", "grpo", "3"),
        ("Is it better?", "reward/mean", "steer", "wide", "3"),
    ]
    small, large = sorted(rows, key=lambda row: float(row["p"]))
    assert float(small["p_holm"]) == pytest.approx(2 * float(small["p"]))
    assert float(large["p_holm"]) == pytest.approx(max(float(large["p"]), 2 * float(small["p"])))
    text = out.read_text("utf-8")
    assert text.index("Planned contrasts") < text.index("Does STEER &lt;keep&gt; entropy?") < text.index("grpo</th>")
    assert "named before the runs were looked at" in text
    for name in ("methods.md", "methods.tex"):
        assert (tmp_path / name).read_text().index("Planned contrasts") < (tmp_path / name).read_text().index("method")


def test_before_anything_is_finished_the_sweep_s_file_says_it(tmp_path):
    for method in ("grpo", "steer", "wide"):
        write_run(tmp_path / "runs", method, 1, state="interrupted")
    variants = [{"name": "wide"}, {"name": "steer", "baseline": "grpo"}, {"name": "grpo"}]
    spec = SweepSpec(name="early", base="b.yaml", axes=[{"variants": variants}])
    (tmp_path / "sweep.json").write_text(spec.model_dump_json(exclude={"storage"}))
    assert call(tmp_path).exit_code == 0
    text = (tmp_path / "report.html").read_text("utf-8")
    assert 'steer <span class="range">against grpo' in text
    assert 'grpo <span class="range">against wide' in text
    assert "no run is finished" in text
    assert "early: 0 of 9 cells are finished" in text


def test_tables_figures_and_another_baseline(sweep, tmp_path):
    out = tmp_path / "page.html"
    result = call(
        sweep, "--out", out, "--baseline", "grpo", "--metric", "policy/entropy/mean", "--last", 3,
        "--tables", tmp_path / "tables", "--figures", tmp_path / "figures",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "figures" / "pareto.svg") in result.stdout.split()
    rows = (tmp_path / "tables" / "methods.csv").read_text("utf-8").splitlines()
    assert rows[1].startswith("policy/entropy/mean,last,wide,3,")
    assert ",grpo,3," in rows[1]
    assert "mean of the last 3 steps" in out.read_text("utf-8")


def test_runs_and_folders_of_runs(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = sweep / "runs"
    assert call(runs / "grpo-seed1").stdout.split() == [str(runs / "grpo-seed1" / "report.html")]
    assert call(runs).stdout.split() == [str(runs / "report.html")]
    result = call(runs / "grpo-seed1", runs / "steer-seed1", runs / "steer-seed1")
    assert result.stdout.split() == ["report.html"]
    assert "2 methods, 2 runs, 1 seed" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["nowhere"], RunFolderError, "nowhere does not exist; name run folders"),
        (["empty"], RunFolderError, "empty holds no run folders"),
        (["broken"], RunFolderError, "broken/sweep.json: not a sweep's description"),
        (["runs", "--baseline", "x"], UserError, "no method is called x; there are grpo"),
        (["runs", "--metric", "reward/meen"], UserError, "no run has it; did you mean reward/mean?"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, arguments, kind, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "broken" / "runs", "grpo", 1)
    write_run(tmp_path / "runs", "grpo", 1)
    (tmp_path / "broken" / "sweep.json").write_text("{")
    result = call(*arguments)
    assert isinstance(result.exception, kind)
    assert said in str(result.exception)


def test_the_module_imports_nothing_heavy():
    code = "import sys, steerctl.cli.report; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
