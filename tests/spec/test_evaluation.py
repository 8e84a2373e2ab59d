"""Section `evaluation` of an experiment."""

from __future__ import annotations

import pytest

from steerctl.errors import SpecError
from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec, spec_from
from steerctl.spec.machine import Machine
from tests.run.command import SMALL, write_spec


def test_absent_unless_asked_for(tmp_path) -> None:
    assert load_spec(write_spec(tmp_path)).spec.evaluation is None
    section = load_spec(write_spec(tmp_path), ["evaluation.every=5"]).spec.evaluation
    assert section is not None
    assert (section.every, section.suite, section.preset, section.gold) == (5, "math", "steer", "clean")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluation.suite=maths500", "did you mean math500"),
        ("evaluation.sample=3", "did you mean samples"),
        ("evaluation.preset=qwen", "qwen-math"),
        ("evaluation.every=0", "must be > 0"),
    ],
)
def test_a_wrong_setting_is_one_line_with_what_is_meant(tmp_path, override, said) -> None:
    with pytest.raises(SpecError, match=said):
        load_spec(write_spec(tmp_path), [override])


def test_check_names_benchmarks_whose_files_are_missing(tmp_path) -> None:
    overrides = ["evaluation.suite=aime24,humaneval_plus", f"evaluation.folder={tmp_path}"]
    spec = load_spec(write_spec(tmp_path), overrides).spec
    found = [each for each in check_spec(spec, Machine.here()) if each.path == "evaluation.folder"]
    assert [each.level for each in found] == ["error", "error"]
    assert "aime24" in found[0].text
    assert "HumanEvalPlus.jsonl.gz" in found[1].text


def test_an_experiment_from_settings_takes_overrides_like_a_file() -> None:
    loaded = spec_from(SMALL, "here", ["evaluation.suite=arithmetic", "rollout.generator.kind=vllm"])
    assert loaded.spec.rollout.generator.kind == "vllm"
    assert loaded.spec.evaluation is not None
    with pytest.raises(SpecError, match="here"):
        spec_from({**SMALL, "nam": 1}, "here")
