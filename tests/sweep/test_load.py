"""Sweep files: what is accepted, what is refused and where."""

from __future__ import annotations

import pytest
import yaml

from steerctl.errors import SpecError
from steerctl.sweep.load import is_sweep, load_sweep
from tests.sweep.sweeps import write_sweep


def refused(folder, **changes) -> str:
    with pytest.raises(SpecError) as caught:
        load_sweep(write_sweep(folder, **changes))
    return str(caught.value)


def test_overrides_go_to_the_sweep_or_to_every_experiment(tmp_path):
    sweep = load_sweep(write_sweep(tmp_path), ["seeds=[4, 5]", "steps=2", "slurm.minutes=5", "optim.lr=1e-4"])
    assert sweep.spec.seeds == [4, 5]
    assert sweep.spec.slurm.minutes == 5
    assert sweep.experiment_overrides == ("steps=2", "optim.lr=1e-4")
    assert sweep.base == tmp_path / "base.yaml"


def test_a_sweep_is_told_from_an_experiment(tmp_path):
    path = write_sweep(tmp_path)
    assert is_sweep(path)
    assert not is_sweep(tmp_path / "base.yaml")
    with pytest.raises(SpecError, match="a sweep names its `base` experiment"):
        load_sweep(tmp_path / "base.yaml")
    with pytest.raises(SpecError, match="no such file"):
        load_sweep(tmp_path / "swep.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": [1]}, "sedes: not a known key; did you mean seeds?"),
        ({"axes": [{"gird": {"optim.lr": [1e-4]}}]}, "axes.0.gird: not a known key; did you mean grid?"),
        ({"axes": [{"grid": {}, "zip": {"steps": [1]}}]}, "axes.0.grid: "),
        ({"axes": [{"grid": {"steps": [1]}, "zip": {"steps": [1]}}]}, "one of variants, grid, zip"),
        ({"axes": [{"zip": {"steps": [1, 2], "optim.lr": [1e-4]}}]}, "differ in length"),
        ({"seeds": [1, 1]}, "given twice"),
        ({"seeds": []}, "seeds: "),
        ({"metric": "eval/aime24/accuracy/mean"}, "which nothing may be chosen by"),
        ({"choose_by": "eval/math500/accuracy/mean"}, "which nothing may be chosen by"),
        ({"search": {"trials": 2, "space": {"optim.lr": {"low": 1, "high": 2}}}}, "exclude each other"),
        ({"axes": None, "search": {"trials": 2, "space": {"optim.lr": {"low": 2, "high": 1}}}}, "low not above high"),
        ({"axes": None, "search": {"trials": 2, "space": {"optim.lr": {"lwo": 2}}}}, "did you mean low?"),
        (
            {"contrasts": [{"says": "?", "varient": "steer"}]},
            "contrasts.0.varient: not a known key; did you mean variant?",
        ),
        (
            {
                "axes": None,
                "search": {"trials": 2, "space": {"optim.lr": {"low": 1, "high": 2}}},
                "contrasts": [{"says": "?", "variant": "steer"}],
            },
            "a search has none",
        ),
        ({"heartbeat_seconds": 60.0}, "at least three times"),
        ({"name": "a b"}, "name: should be letters, digits"),
        ({"seeds": 3}, "seeds: should be a list, as in [1, 2]"),
    ],
)
def test_refused_with_the_place(tmp_path, changes, said):
    text = refused(tmp_path, **changes)
    assert said in text
    assert text.startswith(f"{tmp_path / 'sweep.yaml'}:")


def test_a_seed_for_every_cell_is_refused_rather_than_ignored(tmp_path):
    with pytest.raises(SpecError, match=r"command line: seed=9: .*write seeds=\[1,2\]"):
        load_sweep(write_sweep(tmp_path), ["seed=9"])


def test_the_line_is_that_of_the_fault(tmp_path):
    path = write_sweep(tmp_path)
    path.write_text(yaml.safe_dump({"name": "a", "base": "base.yaml"}) + "seeds:\n  - 1\n  - -2\n")
    with pytest.raises(SpecError, match=r"sweep\.yaml:5: seeds\.1: "):
        load_sweep(path)
