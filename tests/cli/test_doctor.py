"""`steerctl doctor`: the facts are tested in tests/run/test_doctor.py; here the command."""

import json

import pytest
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.run import doctor
from steerctl.run.doctor import Line

WORKS = Line("training", "DeepSpeed ZeRO-3", "ok", "one optimiser step", required=True)
ABSENT = Line("installed", "torch", "missing", "not installed", "pip install torch", required=True)
ADVICE = Line("sandbox", "bubblewrap", "note", "not found", "apt-get install bubblewrap")


@pytest.mark.parametrize(("lines", "code"), [([WORKS, ADVICE], 0), ([ABSENT, WORKS], 1)])
def test_the_exit_code_is_whether_training_works(monkeypatch, lines: list[Line], code: int) -> None:
    asked = []
    monkeypatch.setattr(doctor, "examine", lambda *, full: asked.append(full) or iter(lines))
    done = CliRunner().invoke(build(), ["doctor", "--full"])
    assert done.exit_code == code, done.output
    assert asked == [True]
    advised = [line for line in lines if line.advice]
    assert all(line.advice in done.output.split("to install or mend")[1] for line in advised)
    answer = json.loads(CliRunner().invoke(build(), ["doctor", "--json"]).output)
    assert answer["training_works"] is (code == 0)
    assert answer["lines"][0]["name"] == lines[0].name
