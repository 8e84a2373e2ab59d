"""`steerctl interventions`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steerctl.cli import build
from steerctl.errors import UserError
from steerctl.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
RUN = CliRunner()


def test_the_list_has_a_line_for_each() -> None:
    done = RUN.invoke(build(), ["interventions"])
    assert done.exit_code == 0
    head, *lines = done.output.splitlines()
    assert head.split() == ["kind", "CAPE", "scope", "idea"]
    assert [line.split()[0] for line in lines] == list(registry("steerctl.intervention"))
    (steer,) = (line for line in lines if line.startswith("steer "))
    assert steer.split()[1:4] == ["CAPE", "update", "STEER:"]


@pytest.mark.parametrize("room", ["loss", "advantage"])
def test_the_other_rooms(room: str) -> None:
    done = RUN.invoke(build(), ["interventions", "--room", room])
    assert [line.split()[0] for line in done.output.splitlines()[1:]] == list(registry(f"steerctl.{room}"))


def test_one_in_full() -> None:
    done = RUN.invoke(build(), ["interventions", "steer"])
    assert done.exit_code == 0
    said = done.output
    assert said.startswith("steer   STEER: damp the tokens")
    for part in (
        "factors CAPE · scope update · denominator all",
        "λ = exp(−k·m)",
        "paper_v4:",
        "Source: arXiv 2510.10150",
    ):
        assert part in said
    assert "Departures: (1)" in said
    assert "weight_min: number >= 0, <= 1, default 0.7\n      λ_min (v4 §6.1; scripts 0.8)." in said
    assert "Measured against GRPO in the tiny world: " in said


def test_json() -> None:
    listed = json.loads(RUN.invoke(build(), ["interventions", "--json"]).output)
    assert {card["kind"]: card["factors"] for card in listed}["clip_cov"] == "AP"
    one = json.loads(RUN.invoke(build(), ["interventions", "steer", "--json"]).output)
    assert {row["key"]: row["default"] for row in one["settings"]}["weight_min"] == "0.7"
    assert one["room"] == "intervention"
    assert one["departures"].startswith("Departures: (1)")
    assert "measured" in one


def test_an_unknown_name_is_a_line_and_exit_2() -> None:
    done = RUN.invoke(build(), ["interventions", "ster"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "no intervention, loss or advantage estimator is called ster; did you mean steer?"
    assert done.exception.exit_code == 2


def test_the_list_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['steerctl', 'interventions']\n"
        "from steerctl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name for name in ('torch', 'numpy', 'transformers', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
