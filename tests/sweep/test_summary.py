"""cells.csv and variants.csv from what the study says, against SciPy."""

from __future__ import annotations

import json
import statistics
from copy import copy
from dataclasses import replace

import pytest
from scipy import stats

from steerctl.sweep.agenda import Agenda
from steerctl.sweep.jobs import RESULT
from steerctl.sweep.load import load_sweep
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.progress import seconds_left, snapshot_of
from steerctl.sweep.study import Board
from steerctl.sweep.summary import as_asked, write_summary
from tests.sweep.sweeps import rows, write_sweep

METRIC = "validation/accuracy/mean"
GRPO = {1: 0.30, 2: 0.34, 3: 0.29, 4: 0.40}
STEER = {1: 0.35, 2: 0.36, 4: 0.47}


@pytest.fixture
def told(tmp_path):
    """Seven cells finished, one still waiting: STEER's seed 3."""
    agenda = Agenda(load_sweep(write_sweep(tmp_path, seeds=[1, 2, 3, 4])))
    folder = SweepFolder(tmp_path / "runs" / "tiny")
    folder.prepare()
    board = Board("tiny", None, folder, direction="maximize", retries=2, stale=100.0)
    board.bring_up_to_date(agenda.jobs)
    while (claim := board.claim(agenda.jobs, "a")) is not None:
        cell = agenda.cells[claim.job]
        value = {"grpo": GRPO, "steer": STEER}[cell.variant].get(cell.seed)
        if value is None:
            waiting = claim
            continue
        said = {
            "seed": cell.seed,
            "value": value,
            "wall": 30.0,
            "last": {METRIC: value},
            "chosen": {METRIC: value + 0.1},
        }
        said |= {"chosen_step": 2, "steps": 3, "tokens": 100, "seconds": 20.0}
        board.finish(claim, value, {"cells": {cell.id: said}})
    board.give_back(waiting)
    return agenda, folder, board.standings(agenda.jobs)


def test_means_intervals_and_pairs_agree_with_scipy(told):
    agenda, folder, standings = told
    write_summary(agenda, folder, standings)
    found = {(row["variant"], row["metric"], row["at"]): row for row in rows(folder.variants_csv)}
    steer = found["steer", METRIC, "last"]
    values = list(STEER.values())
    interval = stats.t.interval(0.95, len(values) - 1, statistics.fmean(values), stats.sem(values))
    assert float(steer["mean"]) == pytest.approx(statistics.fmean(values))
    assert float(steer["sd"]) == pytest.approx(statistics.stdev(values))
    assert (float(steer["low"]), float(steer["high"])) == pytest.approx(interval)
    paired = stats.ttest_rel(values, [GRPO[seed] for seed in STEER])
    assert (steer["baseline"], steer["pairs"]) == ("grpo", "3")
    assert (float(steer["difference_low"]), float(steer["difference_high"])) == pytest.approx(
        tuple(paired.confidence_interval())
    )
    assert float(found["steer", METRIC, "chosen"]["mean"]) == pytest.approx(statistics.fmean(values) + 0.1)
    assert found["grpo", METRIC, "last"]["difference"] == ""


def test_every_cell_has_its_row(told):
    agenda, folder, standings = told
    write_summary(agenda, folder, standings)
    found = {row["cell"]: row for row in rows(folder.cells_csv)}
    assert list(found) == [f"{variant}-seed{seed}" for seed in (1, 2, 3, 4) for variant in ("grpo", "steer")]
    assert (found["steer-seed3"]["state"], found["steer-seed3"][METRIC]) == ("waiting", "")
    assert (found["grpo-seed2"][METRIC], found["grpo-seed2"][f"{METRIC} at chosen_step"]) == (
        "0.34",
        "0.44000000000000006",
    )


def plant(run, values):
    run.mkdir(parents=True)
    (run / "spec.json").write_text("{}")
    (run / "status.json").write_text(json.dumps({"state": "finished", "step": len(values)}))
    lines = [{"step": step, METRIC: value} for step, value in enumerate(values, start=1)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_changed_question_is_put_to_the_finished_cells_again(told, tmp_path):
    _, folder, standings = told
    plant(folder.path / "runs" / "grpo-seed1", [0.1, 0.2, 0.6])
    agenda = Agenda(load_sweep(tmp_path / "sweep.yaml", ["last_steps=2"]))
    write_summary(agenda, folder, standings)
    found = {row["cell"]: row for row in rows(folder.cells_csv)}
    assert float(found["grpo-seed1"][METRIC]) == pytest.approx(0.4)
    assert found["grpo-seed1"]["chosen_step"] == "3"
    assert found["grpo-seed2"][METRIC] == "0.34", "no run folder here, and no word of what was asked"
    again = as_asked(agenda, folder, standings)
    assert as_asked(agenda, folder, again) == again


def test_numbers_of_another_question_are_left_out_where_the_run_is_elsewhere(told):
    agenda, folder, standings = told
    job = "grpo-seed1"
    trial = copy(standings[job].trial)
    said = {**standings[job].says["cells"][job], "asked": "something else"}
    trial.user_attrs = {**trial.user_attrs, RESULT: {"cells": {job: said}}}
    write_summary(agenda, folder, {**standings, job: replace(standings[job], trial=trial)})
    found = {row["cell"]: row for row in rows(folder.cells_csv)}
    assert (found[job]["state"], found[job][METRIC], found[job]["tokens"]) == ("finished", "", "100")


def test_what_never_began_was_never_tried(told):
    agenda, folder, standings = told
    assert standings["steer-seed3"].attempts == 1  # begun, and given back
    other = Board("other", None, folder, direction="maximize", retries=2, stale=100.0)
    other.bring_up_to_date(agenda.jobs)
    assert {each.attempts for each in other.standings(agenda.jobs).values()} == {0}


def test_time_left_is_that_of_the_finished_cells(told):
    agenda, _, standings = told
    snapshot = snapshot_of(agenda, standings, places=2)
    assert (snapshot.done, len(snapshot.cells)) == (7, 8)
    assert snapshot.left == pytest.approx(30.0)
    assert seconds_left(snapshot.cells[:4], 2) == 0.0
