"""Names of benchmarks and suites."""

from __future__ import annotations

import pytest

from steerctl.metrics.catalogue import BENCHMARKS as MEASURED
from steerctl.spec.benchmarks import dataset_of, missing_files, verifier_of
from steerctl.spec.evaluation import EvaluationSpec
from steerctl.spec.suites import BENCHMARKS, SUITES, benchmarks_of


def test_six_of_mathematics_and_nine_in_all() -> None:
    assert len(benchmarks_of("math")) == 6
    assert len(benchmarks_of("all")) == 9
    assert [each.name for each in benchmarks_of("math,code")] == list(SUITES["all"])


def test_names_join_and_none_is_asked_twice() -> None:
    assert [each.name for each in benchmarks_of("gsm8k, aime24,math")][:2] == ["gsm8k", "aime24"]
    assert len(benchmarks_of("gsm8k,aime24,math")) == 7


@pytest.mark.parametrize(("name", "said"), [("aime2024", "did you mean aime24"), ("zzz", "known are math, code")])
def test_an_unknown_name_is_answered_with_the_nearest(name, said) -> None:
    with pytest.raises(ValueError, match=said):
        benchmarks_of(f"math500,{name}")


def test_every_benchmark_has_metrics_a_data_set_and_a_judge(tmp_path) -> None:
    assert tuple(BENCHMARKS) == MEASURED
    evaluation = EvaluationSpec(suite=",".join(BENCHMARKS), folder=str(tmp_path))
    for each in BENCHMARKS.values():
        assert dataset_of(each, evaluation).kind == each.dataset["kind"]
        assert verifier_of(each, evaluation).kind == each.verifier["kind"]
    assert set(missing_files(evaluation)) == set(BENCHMARKS) - {"arithmetic"}
