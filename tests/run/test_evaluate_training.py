"""Benchmarks on a schedule while a run trains; the run's own generator, and nothing asked twice."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from steerctl.cli._sampling import Silent
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.run.evaluate import evaluate
from steerctl.run.evaluate_plan import EvaluationRequest, make_evaluation
from steerctl.run.evaluate_training import weights_hash
from tests.run.command import SMALL, metrics, train, write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

EVALUATION = {"every": 2, "suite": "arithmetic,math500", "folder": "examples", "samples": 2, "max_tokens": 12}
ALONE = {"validate_every": 0, "data": {"train": SMALL["data"]["train"], "max_prompt_tokens": 32}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scheduled")
    spec = write_spec(folder, steps=3, evaluation=EVALUATION, **ALONE)
    done = train(spec, "--quiet")
    assert done.returncode == 0, done.stderr
    return spec, folder / "runs" / "small"


def results(run):
    return {path.parent.name: path.read_bytes() for path in sorted((run / "evaluations").glob("step_*/result.json"))}


def test_before_the_first_step_every_second_and_after_the_last(run) -> None:
    lines = metrics(run[1])
    measured = [line["step"] for line in lines if "eval/arithmetic/accuracy/mean" in line]
    assert measured == [0, 2, 3]
    assert list(results(run[1])) == ["step_000000", "step_000002", "step_000003"]
    keys = {key for line in lines for key in line if key.startswith("eval/")}
    assert keys <= set(catalogue())
    assert {"eval/macro/accuracy/mean", "eval/math500/no_answer/fraction"} <= keys
    written = json.loads(results(run[1])["step_000003"])
    assert written["model"]["weight_version"] == 3
    assert lines[-1]["eval/arithmetic/accuracy/mean"] == written["benchmarks"]["arithmetic"]["accuracy"]["value"]


def test_the_last_one_equals_that_of_the_exported_policy(run, tmp_path) -> None:
    """The same questions, seeds and weights: whoever asks."""
    alone = evaluate(make_evaluation(EvaluationRequest(str(run[1]), {}, (), out=tmp_path / "alone")), Silent)
    scheduled = json.loads(results(run[1])["step_000003"])
    assert alone["benchmarks"] == scheduled["benchmarks"]
    assert alone["model"]["weight_version"] == 0


def test_evaluating_changes_nothing_of_the_training(run, tmp_path) -> None:
    spec = write_spec(tmp_path, steps=3, **ALONE)
    assert train(spec, "--quiet").returncode == 0
    plain = metrics(tmp_path / "runs" / "small")
    with_benchmarks = [
        {key: value for key, value in line.items() if not key.startswith("eval/")} for line in metrics(run[1])
    ]
    assert plain == [line for line in with_benchmarks if len(line) > 1]


def test_a_resumed_run_does_not_ask_again_what_it_has(run, tmp_path) -> None:
    """Going on from step 2 does step 3 again, bit for bit the same weights: the responses on disk are theirs."""
    before = results(run[1])
    stamps = {path: path.stat().st_mtime_ns for path in run[1].glob("evaluations/*/samples/*.parquet")}
    for path in (run[1] / "checkpoints").iterdir():
        if path.name.endswith("3"):
            shutil.rmtree(path)
    done = train("--resume", run[1], "--quiet")
    assert done.returncode == 0, done.stderr
    assert results(run[1]) == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_on_two_ranks_every_question_is_asked_once(tmp_path) -> None:
    spec = write_spec(tmp_path, steps=1, evaluation=EVALUATION, engine={"ranks": 2}, **ALONE)
    done = train(spec, "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads(results(tmp_path / "runs" / "small")["step_000001"])
    assert found["benchmarks"]["arithmetic"]["questions"] == 64
    assert found["benchmarks"]["arithmetic"]["samples"] == 2


def test_the_hash_of_the_weights_sees_every_bit() -> None:
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    one = weights_hash(iter(weights.items()))
    assert one == weights_hash(iter({name: value.clone() for name, value in weights.items()}.items()))
    weights["a"][1, 2] = torch.nextafter(weights["a"][1, 2], torch.tensor(9.0))
    assert weights_hash(iter(weights.items())) != one
    assert weights_hash([("c", weights["b"])]) != weights_hash([("b", weights["b"])])
