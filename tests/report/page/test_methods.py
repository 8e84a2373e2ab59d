"""Which runs make a method."""

import pytest

from steerctl.errors import UserError
from steerctl.report.page.methods import group, stem
from tests.report.page.runs import spec_of, write_run


def test_runs_that_differ_in_the_seed_are_one_method(methods):
    assert {each.name: [run.seed for run in each.runs] for each in methods.methods} == {
        "grpo": [1, 2, 3, 4],
        "steer": [1, 2, 3, 4],
        "wide": [1, 2, 3, 4],
    }
    assert methods.notes == ()
    assert "seed" not in methods.named("grpo").settings
    assert methods.named("wide").settings["algorithm.loss.clip_ratio_high"] == 0.28


@pytest.mark.parametrize(
    ("name", "seed", "expected"),
    [("steer-seed3", 3, "steer"), ("steer_s3", 3, "steer"), ("steer-seed3", 4, "steer-seed3"), ("a.seed-12", 12, "a")],
)
def test_a_name_without_its_seed(name, seed, expected):
    assert stem(name, seed) == expected


def test_other_settings_under_the_same_name_are_another_method(tmp_path):
    other = spec_of("grpo", 2)
    other["optim"]["lr"] = 5e-6
    found = group([write_run(tmp_path, "grpo", 1), write_run(tmp_path, "grpo", 2, spec=other)])
    assert [each.name for each in found.methods] == ["grpo", "grpo (2)"]


def test_what_is_left_aside_is_said(tmp_path):
    records = [
        write_run(tmp_path, "grpo", 1),
        write_run(tmp_path / "again", "grpo", 1),
        write_run(tmp_path, "grpo", 2, steps=0, state="running"),
        write_run(tmp_path, "steer", 1, state="interrupted"),
    ]
    found = group(records)
    text = "\n".join(found.notes)
    assert "again/grpo-seed1 repeats" in text
    assert "1 run has no finished step" in text
    assert "steer: 1 of 1 runs is not finished" in text
    assert [len(each.runs) for each in found.methods] == [1, 1]


def test_order_and_names(methods, study):
    records = [run.record for each in methods.methods for run in each.runs]
    assert [each.name for each in group(records, order=("wide", "grpo")).methods] == ["wide", "grpo", "steer"]
    with pytest.raises(UserError, match="no method is called nope; there are grpo, steer, wide"):
        methods.named("nope")


def test_nothing_to_report(tmp_path):
    with pytest.raises(UserError, match="nothing to report yet"):
        group([write_run(tmp_path, "grpo", 1, steps=0)])
