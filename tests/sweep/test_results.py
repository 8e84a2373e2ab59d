"""The numbers of a finished cell, read off its run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steerctl.store.record import RunRecord
from steerctl.sweep.results import CellResult, result_of
from steerctl.sweep.spec import SweepSpec

VALID, TOKENS, SECONDS = "validation/accuracy/mean", "batch/tokens/count", "time/step/seconds"
LINES = [
    {"step": 0, VALID: 0.9},
    {"step": 1, "reward/mean": 0.1, TOKENS: 10, SECONDS: 0.5},
    {"step": 2, "reward/mean": 0.2, TOKENS: 20, SECONDS: 0.5, VALID: 0.6},
    {"step": 3, "reward/mean": 0.4, TOKENS: 30, SECONDS: 0.25, VALID: 0.5},
]


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "status.json").write_text('{"state": "finished", "step": 3}')
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return RunRecord(tmp_path)


def sweep(**changes: object) -> SweepSpec:
    axes = [{"grid": {"optim.lr": [1e-4]}}]
    return SweepSpec.model_validate(
        {"name": "s", "base": "b.yaml", "axes": axes, "metrics": ["reward/mean"], **changes}
    )


def test_a_cell_is_its_end_and_the_step_its_validation_chose(run: RunRecord) -> None:
    assert result_of(run, sweep(last_steps=2)) == CellResult(
        last={VALID: 0.55, "reward/mean": pytest.approx(0.3)},
        chosen={VALID: 0.6, "reward/mean": 0.2},
        chosen_step=2,
        steps=3,
        tokens=60,
        seconds=1.25,
    )


def test_the_sweeps_own_metric_is_chosen_in_its_direction(run: RunRecord) -> None:
    assert result_of(run, sweep(direction="minimize")).chosen_step == 3


def test_what_was_never_measured_is_absent(run: RunRecord) -> None:
    found = result_of(run, sweep(metrics=["no/such"], choose_by="no/such"))
    assert (found.last, found.chosen, found.chosen_step) == ({VALID: 0.5}, {}, None)


def test_another_machine_reads_what_this_one_wrote(run: RunRecord) -> None:
    found = result_of(run, sweep())
    assert CellResult.from_json(json.loads(json.dumps(found.as_json()))) == found
