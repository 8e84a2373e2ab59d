"""`steerctl runs`: the commands as a user types them."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from steerctl.cli.runs import app
from steerctl.errors import RunFolderError
from steerctl.store.folder import RunFolder


@pytest.fixture
def runs(tmp_path):
    for name in ("grpo", "steer"):
        with RunFolder.create(tmp_path / "runs" / name, "{}", environment={}) as run:
            run.append_metrics(1, {"reward/mean": 0.5, "policy/entropy/mean": 1.0, "policy/entropy_after/mean": 0.9})
            run.set_status("finished", 1)
    return tmp_path / "runs"


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compare(runs):
    result = call("compare", runs / "grpo", runs / "latest", "--plot", runs / "x.svg", "--plot", runs / "x.png")
    assert result.exit_code == 0, result.output
    assert "reward, last" in result.output
    assert (runs / "x.svg").exists()
    assert (runs / "x.png").exists()


def test_compare_as_json(runs):
    result = call("compare", runs / "grpo", runs / "steer", "--format", "json")
    assert [run["name"] for run in json.loads(result.stdout)["runs"]] == ["grpo", "steer"]


def test_list_and_show(runs, tmp_path):
    assert call("list", runs).output.count("finished") == 2
    assert "no run folders in" in call("list", runs / "grpo").output
    assert "nowhere does not exist" in str(call("list", tmp_path / "nowhere").exception)
    assert "policy/entropy/mean" in call("show", runs / "grpo").output


def test_list_and_compare_only_some(runs):
    output = call("list", runs, "--method", "grpo", "--sort", "-reward/mean").output
    assert "grpo" in output
    assert "steer" not in output
    assert "none of the 2 runs" in call("list", runs, "--state", "failed").output
    found = json.loads(call("list", runs, "--state", "finished", "--format", "json").stdout)
    assert [(each["name"], each["state"], each["last"]["reward/mean"]) for each in found] == [
        ("grpo", "finished", 0.5),
        ("steer", "finished", 0.5),
    ]
    compared = json.loads(call("compare", runs, "--method", "steer", "--format", "json").stdout)
    assert [each["name"] for each in compared["runs"]] == ["steer"]
    assert "none of the 2 runs" in call("compare", runs, "--state", "failed").output
    assert "no run has a setting" in str(call("list", runs, "--where", "optim.lr=1").exception)


def test_sorted_by_a_metric_the_list_shows_it(runs):
    assert "entropy_after" in call("list", runs, "--sort", "policy/entropy_after/mean").output.replace("\n", "")


def test_a_run_that_has_not_begun_does_not_spoil_the_comparison(runs):
    with RunFolder.create(runs / "begun", "{}", environment={}) as run:
        run.append_metrics(0, {"validation/accuracy/mean": 0.1})
    result = call("compare", runs, "--format", "json")
    assert [each["name"] for each in json.loads(result.stdout)["runs"]] == ["grpo", "steer"]
    assert "note: 1 runs have no finished step yet" in result.stderr
    assert "has no finished step yet" in str(call("compare", runs / "begun").exception)


def test_show_as_json(runs):
    shown = json.loads(call("show", runs / "grpo", "--format", "json").stdout)
    assert shown["last"]["policy/entropy/mean"] == 1.0
    assert shown["step"] == 1
    assert shown["checkpoint"] is None


@pytest.mark.parametrize("columns", [30, 69, 100])
def test_a_list_keeps_every_word_whole_in_a_small_terminal(runs, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(runs.parent)
    lines = call("list", "runs").output.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= columns
    text = "\n".join(lines)
    for word in ("runs/grpo", "runs/steer", "finished", "state", "reward", "entropy", "created", "0.5"):
        assert word in text
    assert (lines[0] == "runs/grpo") == (columns < 70)


def test_what_is_no_run(tmp_path):
    result = call("show", tmp_path)
    assert isinstance(result.exception, RunFolderError)


def test_the_module_imports_nothing_heavy():
    code = "import sys, steerctl.cli.runs; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
