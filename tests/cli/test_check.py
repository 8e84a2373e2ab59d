"""`steerctl check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.spec import tree

RUN = CliRunner()
EXPERIMENT = """\
name: x
policy: {model: MODEL}
data: {train: {kind: verl, path: PROBLEMS}}
reward: {verifier: {kind: math_verify}}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """An experiment that is ready to run."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"head_dim": 64, "max_position_embeddings": 4096}))
    (tmp_path / "problems.parquet").touch()
    file = tmp_path / "exp.yaml"
    text = EXPERIMENT.replace("MODEL", str(tmp_path / "model")).replace("PROBLEMS", str(tmp_path / "problems.parquet"))
    file.write_text(text)
    return file


def test_ready(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", str(experiment), "optim.lr=2e-6"])
    assert done.exit_code == 0, done.output
    assert done.output.endswith("exp.yaml: ready\n")


def test_the_printed_experiment_is_yaml_that_says_the_same(experiment: Path, tmp_path: Path) -> None:
    settings = ["optim.lr=2e-6", "algorithm.loss.clip_ratio_high=.inf", "optim.eps=1e-12"]
    printed = RUN.invoke(build(), ["check", str(experiment), *settings]).output.rsplit("\n", 2)[0]
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    first, second = (
        json.loads(RUN.invoke(build(), ["check", "--json", *arguments]).output)["spec"]
        for arguments in ([str(experiment), *settings], [str(again)])
    )
    assert first == second
    assert yaml.safe_load(printed) == tree.plain(tree.parse(printed, "x")), "YAML 1.1 readers see the same values"


def test_findings_name_where_they_were_written(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", str(experiment), "validate_every=3", "rollout.top_p=0.5"])
    assert done.exit_code == 2
    assert "error: command line: validate_every: " in done.output
    assert "warning: command line: rollout.top_p: " in done.output
    assert done.output.endswith("exp.yaml: not ready (1 error, 1 warning)\n")


def test_warnings_do_not_change_the_exit_code(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", "--brief", str(experiment), "rollout.top_p=0.5"])
    assert done.exit_code == 0
    assert done.output.splitlines()[0].startswith("warning: command line: rollout.top_p: ")
    assert len(done.output.splitlines()) == 2


def test_json(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", "--json", str(experiment), str(experiment), "validate_every=3"])
    assert done.exit_code == 2
    answers = [json.loads(line) for line in done.output.splitlines()]
    assert len(answers) == 2
    assert answers[0]["spec"]["validate_every"] == 3
    (finding,) = answers[0]["findings"]
    assert (finding["level"], finding["path"], finding["origin"]) == ("error", "validate_every", "command line")


def test_elsewhere_leaves_out_what_this_machine_cannot_answer(experiment: Path) -> None:
    settings = ["data.train.path=/nowhere.parquet", "policy.model=/nowhere", "engine.device=cuda", "engine.ranks=8"]
    assert RUN.invoke(build(), ["check", "--brief", str(experiment), *settings]).exit_code == 2
    assert RUN.invoke(build(), ["check", "--brief", "--elsewhere", str(experiment), *settings]).exit_code == 0


def test_only_overrides(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", "seed=2"])
    assert done.exit_code == 2
    assert "name an experiment file" in done.output
