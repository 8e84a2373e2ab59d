"""cells.csv and variants.csv from what the study says, against SciPy."""

from __future__ import annotations

import statistics

import pytest
from scipy import stats

from steerctl.sweep.agenda import Agenda
from steerctl.sweep.load import load_sweep
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.progress import seconds_left, snapshot_of
from steerctl.sweep.study import Board
from steerctl.sweep.summary import write_summary
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


def test_time_left_is_that_of_the_finished_cells(told):
    agenda, _, standings = told
    snapshot = snapshot_of(agenda, standings, places=2)
    assert (snapshot.done, len(snapshot.cells)) == (7, 8)
    assert snapshot.left == pytest.approx(30.0)
    assert seconds_left(snapshot.cells[:4], 2) == 0.0
