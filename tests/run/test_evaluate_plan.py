"""What `steerctl eval` does, decided before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerctl.errors import RunFolderError, SpecError, UserError
from steerctl.run.evaluate_plan import EvaluationRequest, default_folder, load_evaluation, make_evaluation
from steerctl.spec.load import dump_spec, spec_from
from steerctl.store.folder import RunFolder
from tests.engine.toy import write_toy_model
from tests.run.command import SMALL


def request(model="tiny", *overrides, **settings):
    return EvaluationRequest(model, {"suite": "arithmetic", **settings}, overrides)


def test_a_model_needs_no_experiment() -> None:
    spec = load_evaluation(request("tiny", "rollout.generator.kind=vllm", "policy.dtype=bfloat16", samples=3)).spec
    assert (spec.policy.model, spec.policy.dtype, spec.rollout.generator.kind) == ("tiny", "bfloat16", "vllm")
    assert spec.evaluation is not None
    assert spec.evaluation.samples == 3


def test_a_run_brings_its_engine_its_evaluation_and_its_exported_policy(tmp_path) -> None:
    settings = {**SMALL, "rollout": {**SMALL["rollout"], "generator": {"kind": "embedded", "max_sequences": 7}}}
    own = spec_from({**settings, "evaluation": {"suite": "gsm8k", "samples": 5}}, "here").spec
    run = tmp_path / "trained"
    with RunFolder.create(run, dump_spec(own), environment={}) as folder:
        with pytest.raises(RunFolderError, match="exported no policy yet"):
            load_evaluation(EvaluationRequest(str(run)))
        folder.save_model(write_toy_model)
    spec = load_evaluation(EvaluationRequest(str(run), {"samples": 2})).spec
    assert spec.policy.model == str(run / "model")
    assert spec.rollout.generator.max_sequences == 7
    assert spec.evaluation is not None
    assert (spec.evaluation.suite, spec.evaluation.samples) == ("gsm8k", 2)
    assert default_folder(str(run), "gsm8k,aime24") == run / "evaluations" / "gsm8k+aime24"
    assert default_folder("Qwen/Qwen2.5-1.5B", "math") == Path("evaluations/Qwen-Qwen2.5-1.5B-math")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (EvaluationRequest(None), UserError, "--model PATH_OR_RUN, or --from-rollouts FILE"),
        (request("/nowhere"), UserError, "nowhere"),
        (request(suite="arithmetics"), SpecError, "did you mean arithmetic"),
        (request("tiny", "evaluation.sample=2"), SpecError, "command line: evaluation.sample"),
        (EvaluationRequest("tiny", {"suite": "arithmetic"}, exclude_overlaps="same"), UserError, "needs --train-data"),
    ],
)
def test_mistakes_are_found_at_once(asked, error, said) -> None:
    with pytest.raises(error, match=said):
        make_evaluation(asked)


def test_a_folder_that_is_neither_model_nor_run_is_refused(tmp_path) -> None:
    with pytest.raises(RunFolderError, match="neither a model folder"):
        make_evaluation(request(str(tmp_path)))


def test_the_origin_holds_what_decides_and_nothing_else() -> None:
    def origin(*overrides, **settings):
        found = make_evaluation(request("tiny", *overrides, **settings))
        return found.origin(found.questions[0])

    own = origin()
    assert origin("name=other", "steps=3", "evaluation.every=7", "optim.lr=1e-3") == own
    for changed in ("seed=2", "evaluation.max_tokens=9", "rollout.generator.max_sequences=3", "evaluation.questions=5"):
        assert origin(changed) != own, changed
    assert origin(preset="r1") != own
