"""Which of many runs, and in which order."""

import pytest

from steerctl.errors import UserError
from steerctl.report.select import Wanted, select
from tests.report.page.runs import spec_of, write_run


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = [write_run(folder, method, seed) for method in ("grpo", "steer") for seed in (1, 2)]
    return [*made, write_run(folder, "wide", 3, state="interrupted", steps=4)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["grpo-seed1", "grpo-seed2", "steer-seed1", "steer-seed2", "wide-seed3"]),
        (Wanted(state="interrupted"), ["wide-seed3"]),
        (Wanted(where=("seed=2",)), ["grpo-seed2", "steer-seed2"]),
        (Wanted(where=("optim.lr=1e-6", "seed=1")), ["grpo-seed1", "steer-seed1"]),
        (Wanted(where=("optim.lr=0.000001",), state="interrupted"), ["wide-seed3"]),
        (Wanted(where=("algorithm.interventions.0=st*",)), ["steer-seed1", "steer-seed2"]),
        (Wanted(where=("algorithm.interventions.0.kind=steer", "seed=2")), ["steer-seed2"]),
        (Wanted(where=("seed=many",)), []),
        (Wanted(method="grpo"), ["grpo-seed1", "grpo-seed2"]),
        (Wanted(method="steer", sort="-created"), ["steer-seed2", "steer-seed1"]),
        (Wanted(method="ppo_clip", state="interrupted"), ["wide-seed3"]),
        (Wanted(where=("seed=1",), sort="-policy/entropy/mean"), ["steer-seed1", "grpo-seed1"]),
        (Wanted(sort="step", where=("algorithm.loss=ppo*",), method="wide"), ["wide-seed3"]),
    ],
)
def test_runs_that_are_wanted(records, wanted, expected):
    assert [record.name for record in select(records, wanted)] == expected


def test_a_name_comes_before_a_kind_that_every_run_has(tmp_path):
    made = []
    for method in ("grpo", "steer"):
        spec = spec_of(method, 1)
        spec["algorithm"]["advantage"] = {"kind": "grpo"}
        made.append(write_run(tmp_path, method, 1, spec=spec))
    assert [record.name for record in select(made, Wanted(method="grpo"))] == ["grpo-seed1"]
    assert [record.name for record in select(made[1:], Wanted(method="grpo"))] == ["steer-seed1"]


def test_runs_without_the_number_come_last(records):
    found = select(records, Wanted(sort="validation/accuracy/mean"))
    assert found[-1].name == "wide-seed3"  # its last step has no validation


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(where=("optim.rl=1",)), "no run has a setting optim.rl; did you mean optim.lr"),
        (Wanted(where=("lr",)), "write it as KEY=VALUE"),
        (Wanted(sort="policy/entropy/men"), "did you mean policy/entropy/mean"),
    ],
)
def test_what_no_run_has_is_refused(records, wanted, said):
    with pytest.raises(UserError, match=said):
        select(records, wanted)
