"""Axes -> variants -> cells."""

from __future__ import annotations

import pytest
import yaml

from steerctl.errors import SpecError
from steerctl.spec.load import load_spec
from steerctl.sweep.agenda import Agenda
from steerctl.sweep.load import load_sweep
from steerctl.sweep.place import SweepFolder
from steerctl.sweep.plan import as_override, baseline_of, cells_of, variants_of
from tests.sweep.sweeps import STEER, VARIANTS, write_sweep


def planned(folder, *overrides, **changes):
    sweep = load_sweep(write_sweep(folder, **changes), overrides)
    return sweep, variants_of(sweep)


def test_the_product_of_the_axes_in_order(tmp_path):
    grid = {"optim.lr": [1e-4, 4e-4], "rollout.group_size": [4]}
    clips = {"algorithm.loss.clip_ratio_low": [0.2, 0.99], "algorithm.loss.clip_ratio_high": [0.2, float("inf")]}
    _, variants = planned(tmp_path, axes=[{"variants": VARIANTS}, {"grid": grid}, {"zip": clips}])
    assert [each.name for each in variants[:4]] == [
        "grpo-lr-0.0001-group_size-4-clip_ratio_low-0.2-clip_ratio_high-0.2",
        "grpo-lr-0.0001-group_size-4-clip_ratio_low-0.99-clip_ratio_high-inf",
        "grpo-lr-0.0004-group_size-4-clip_ratio_low-0.2-clip_ratio_high-0.2",
        "grpo-lr-0.0004-group_size-4-clip_ratio_low-0.99-clip_ratio_high-inf",
    ]
    last = variants[-1].spec
    assert len(variants) == 8
    assert (last.optim.lr, last.rollout.group_size) == (4e-4, 4)
    assert (last.algorithm.loss.clip_ratio_low, last.algorithm.loss.clip_ratio_high) == (0.99, float("inf"))
    assert [each.kind for each in last.algorithm.interventions] == ["steer"]


def test_every_variant_has_every_seed_and_pairs_are_complete_early(tmp_path):
    sweep, variants = planned(tmp_path, "steps=7", seeds=[3, 9])
    cells = cells_of(sweep, variants)
    assert [cell.id for cell in cells] == ["grpo-seed3", "steer-seed3", "grpo-seed9", "steer-seed9"]
    assert {cell.spec.steps for cell in cells} == {7}
    assert cells[2].spec.seed == 9
    assert (cells[2].spec.name, cells[2].spec.output) == ("grpo-seed9", str(tmp_path / "runs" / "tiny" / "runs"))
    assert cells[2].spec.data == cells[3].spec.data, "equal seeds ask equal problems"


def test_what_is_frozen_is_the_experiment_that_runs(tmp_path):
    changes = {"algorithm.loss.clip_ratio_high": float("inf"), **STEER}
    sweep, variants = planned(tmp_path, axes=[{"variants": [{"name": "a", "set": changes}]}])
    (cell,) = cells_of(sweep, variants)
    folder = SweepFolder(tmp_path / "runs" / "tiny")
    folder.prepare()
    folder.freeze(cell)
    assert load_spec(folder.experiment(cell)).spec == cell.spec


def test_settings_change_with_what_a_run_depends_on_and_nothing_else(tmp_path):
    def digest(*overrides):
        sweep, variants = planned(tmp_path, *overrides)
        return cells_of(sweep, variants)[0].settings

    first = digest()
    assert digest("output=elsewhere", "engine.micro_batch_tokens=99", "log.rollouts_every=5") == first
    assert digest("optim.lr=2e-3") != first
    assert digest("optim.lr=1e-3") == first


def test_a_file_stands_for_the_base_and_keeps_the_lines_of_its_faults(tmp_path):
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nalgorithm: {advantage: {kind: rloo}}\n")
    _, variants = planned(tmp_path, axes=[{"variants": [{"name": "rloo", "file": "own.yaml"}]}])
    assert variants[0].spec.algorithm.advantage.kind == "rloo"
    bad = [{"name": "x", "set": {"optim.lrr": 1}}]
    with pytest.raises(SpecError, match=r"sweep\.yaml:\d+: x: optim\.lrr: not a known key; did you mean lr\?"):
        planned(tmp_path, axes=[{"variants": bad}])


@pytest.mark.parametrize(
    ("contrast", "said"),
    [
        ({"variant": "ster"}, r"contrasts\.0\.variant: no variant is called ster; did you mean steer\?"),
        (
            {"variant": "steer", "baseline": "x"},
            r"contrasts\.0\.baseline: no variant is called x; there are grpo, steer",
        ),
        ({"variant": "grpo"}, r"contrasts\.0: grpo would be compared with itself; name another baseline"),
    ],
)
def test_planned_contrasts_are_between_variants(tmp_path, contrast, said):
    good = {"says": "Is it better?", "variant": "steer", "baseline": "grpo"}
    assert len(Agenda(load_sweep(write_sweep(tmp_path, contrasts=[good]))).variants) == 2
    with pytest.raises(SpecError, match=rf"sweep\.yaml:\d+: {said}"):
        Agenda(load_sweep(write_sweep(tmp_path, contrasts=[{"says": "?", **contrast}])))


@pytest.mark.parametrize("key", ["seed", "name", "output"])
def test_what_the_sweep_decides_cannot_be_varied(tmp_path, key):
    with pytest.raises(SpecError, match=f"{key} cannot be varied here"):
        planned(tmp_path, axes=[{"grid": {key: [1, 2]}}])


def test_two_variants_of_one_name_are_refused(tmp_path):
    with pytest.raises(SpecError, match="two variants are called grpo"):
        planned(tmp_path, axes=[{"variants": [{"name": "grpo"}, {"name": "grpo"}]}])


def test_a_baseline_on_one_axis_holds_the_others_equal(tmp_path):
    axes = [{"variants": VARIANTS}, {"grid": {"optim.lr": [1e-4, 4e-4]}}]
    sweep, variants = planned(tmp_path, axes=axes, baseline="grpo")
    found = {each.name: getattr(baseline_of(each, variants, sweep), "name", None) for each in variants}
    assert found == {
        "grpo-lr-0.0001": None,
        "grpo-lr-0.0004": None,
        "steer-lr-0.0001": "grpo-lr-0.0001",
        "steer-lr-0.0004": "grpo-lr-0.0004",
    }
    sweep, variants = planned(tmp_path, axes=axes, baseline="gpro")
    with pytest.raises(SpecError, match="no variant is called gpro"):
        baseline_of(variants[0], variants, sweep)


@pytest.mark.parametrize("value", [1e-7, float("inf"), True, None, "off", "a: b", [{"kind": "steer"}], {"a": [1, 2.5]}])
def test_an_override_says_the_value_again(value):
    key, _, text = as_override("x", value).partition("=")
    assert key == "x"
    assert yaml.safe_load(text.replace("1.0e-07", "1.0e-7")) == value
