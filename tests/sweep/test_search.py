"""What a search tries, and when it gives up; no training."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from steerctl.sweep.agenda import Agenda
from steerctl.sweep.load import load_sweep
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.search import distribution, pruner
from steerctl.sweep.spec import PruneSpec, RangeSpec
from steerctl.sweep.study import Board
from tests.sweep.sweeps import write_sweep

SPACE = {
    "optim.lr": {"low": 1e-5, "high": 1e-3, "log": True},
    "rollout.group_size": {"choices": [4, 8]},
    "steps": {"low": 2, "high": 10, "step": 2},
}


def searching(folder, sampler="random", seed=1):
    search = {"sampler": sampler, "trials": 4, "space": SPACE, "seed": seed}
    agenda = Agenda(load_sweep(write_sweep(folder, axes=None, search=search, seeds=[1, 2])))
    place = SweepFolder(folder / "runs" / "tiny")
    place.prepare()
    board = Board("tiny", None, place, direction="maximize", retries=2, stale=100.0)
    board.bring_up_to_date(agenda.jobs)
    return agenda, board


def drawn(folder, order, **settings):
    agenda, board = searching(folder, **settings)
    found = {}
    claims = [board.claim(agenda.jobs, "a") for _ in agenda.jobs]
    for index in order:
        task = agenda.task(claims[index], board)
        found[claims[index].job] = task.params
        board.finish(claims[index], task.params["optim.lr"], {})
    return found


def test_a_random_search_does_not_depend_on_who_asks_when(tmp_path):
    first = drawn(tmp_path / "a", [0, 1, 2, 3])
    assert drawn(tmp_path / "b", [3, 1, 0, 2]) == first
    assert drawn(tmp_path / "c", [0, 1, 2, 3], seed=2) != first
    assert len({params["optim.lr"] for params in first.values()}) == 4
    assert all(params["steps"] in (2, 4, 6, 8, 10) for params in first.values())


def test_a_trial_keeps_its_settings_when_another_worker_goes_on(tmp_path):
    agenda, board = searching(tmp_path, sampler="tpe")
    claim = board.claim(agenda.jobs, "a")
    task = agenda.task(claim, board)
    board.killed(claim, "killed by signal 9 (SIGKILL)")
    board.bring_up_to_date(agenda.jobs)
    claims = [board.claim(agenda.jobs, "b") for _ in agenda.jobs]
    again = next(each for each in claims if each.job == claim.job)
    assert agenda.task(again, board).params == task.params
    assert [cell.id for cell in task.cells] == ["trial-0001-seed1", "trial-0001-seed2"]
    assert task.cells[0].spec.optim.lr == task.params["optim.lr"]


@pytest.mark.parametrize("kind", ["median", "halving"])
def test_a_poor_trial_is_given_up_and_not_before_its_first_step(kind):
    study = optuna.create_study(direction="maximize", pruner=pruner(PruneSpec(kind=kind, first_step=3, first_trials=2)))
    for value in (0.5, 0.6, 0.7, 0.8):
        trial = study.ask()
        for step in range(1, 9):
            trial.report(value, step)
            trial.should_prune()  # successive halving takes note of a trial when it is asked
        study.tell(trial, value)
    poor = study.ask()
    given_up = []
    for step in range(1, 9):
        poor.report(0.1, step)
        given_up.append(poor.should_prune())
    study.tell(poor, state=TrialState.PRUNED)
    assert given_up[:2] == [False, False]
    assert any(given_up)


def test_whole_numbers_stay_whole():
    assert isinstance(distribution(RangeSpec(low=1, high=4)), optuna.distributions.IntDistribution)
    assert isinstance(distribution(RangeSpec(low=1, high=4.0)), optuna.distributions.FloatDistribution)
    assert distribution(RangeSpec(choices=["a", 2])).choices == ("a", 2)
