"""`steerctl check`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.errors import SpecError
from steerctl.spec import tree

RUN = CliRunner()
ROOT = Path(__file__).resolve().parents[2]
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


def test_an_empty_name(experiment: Path) -> None:
    for arguments in ([""], [str(experiment), ""]):
        done = RUN.invoke(build(), ["check", "--brief", *arguments])
        assert isinstance(done.exception, SpecError)
        assert str(done.exception).startswith("the name of the experiment file is empty; write one, such as ")


def test_a_finding_blames_the_override_that_caused_it(experiment: Path) -> None:
    experiment.write_text(experiment.read_text() + "algorithm: {constant_norm_length: 9, reduction: constant_norm}\n")
    done = RUN.invoke(build(), ["check", "--brief", str(experiment), "algorithm.reduction=token_mean"])
    first = done.output.splitlines()[0]
    assert first.startswith("warning: command line: algorithm.reduction: algorithm.constant_norm_length: is not read")


def test_the_error_in_the_readme_is_the_one_that_comes(tmp_path: Path) -> None:
    """The experiment that README shows, with the slip that it shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n# my\.yaml\n(.*?)```", text, re.DOTALL)
    shown = re.search(r"^my\.yaml:.*weight_mni.*$", text, re.MULTILINE)
    assert example is not None
    assert shown is not None
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    written = "# my.yaml\n" + example[1]
    assert written.count("weight_min") == 1
    (tmp_path / "my.yaml").write_text(written.replace("weight_min", "weight_mni"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "steerctl", "check", "my.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{shown[0]}\n")
    (tmp_path / "my.yaml").write_text(written, encoding="utf-8")
    assert RUN.invoke(build(), ["check", "--brief", "--elsewhere", str(tmp_path / "my.yaml")]).exit_code == 0


def test_only_overrides(experiment: Path) -> None:
    done = RUN.invoke(build(), ["check", "seed=2"])
    assert done.exit_code == 2
    assert "name an experiment file" in done.output
