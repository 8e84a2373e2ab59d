"""The questions of each benchmark of an evaluation, and the experiment that samples them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerctl.data import Dataset, ProblemSet
from steerctl.data.presets import PRESETS
from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems, prepare
from steerctl.engine.origin import Engine
from steerctl.errors import DataError, SpecError
from steerctl.reward.code import Code
from steerctl.reward.sandbox.probe import choose
from steerctl.run.rollout_plan import DECIDING
from steerctl.spec.benchmarks import dataset_of, missing_files, verifier_of
from steerctl.spec.evaluation import EvaluationSpec
from steerctl.spec.experiment import DataSpec, ExperimentSpec, RewardSpec
from steerctl.spec.suites import Benchmark, benchmarks_of
from steerctl.types import Problem

EVALUATION_STEP = -(2**40)
"""Of the seeds: far from every step's and every validation's, and the same whenever a policy is evaluated."""


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of one benchmark, and the experiment that would sample them.

    spec   the experiment with this benchmark as its data, its judge and its sampling
    drawn  how responses that were saved were sampled; None: they are sampled here
    """

    benchmark: Benchmark
    spec: ExperimentSpec
    problems: tuple[Problem, ...]
    drawn: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.benchmark.name

    @property
    def samples(self) -> int:
        """Responses to each question."""
        return self.spec.rollout.group_size

    @property
    def dataset_hash(self) -> str:
        """Differs when the questions or their reference answers do; prompts apart."""
        held = ("golds", "tests", "setup")
        return _digest(
            (each.id, each.gold, [each.info.get(name) for name in held])
            for each in sorted(self.problems, key=lambda each: each.id)
        )

    @property
    def prompt_hash(self) -> str:
        """Differs when what is asked does, instruction included; whatever the model's chat template."""
        asked = sorted((each.id, "\n".join(turn.content for turn in each.prompt)) for each in self.problems)
        return _digest(asked)

    def sampling(self) -> dict[str, Any]:
        """How the responses are drawn."""
        if self.drawn is not None:
            return {**self.drawn, "samples": self.samples}
        rollout, evaluation = self.spec.rollout, _section(self.spec)
        names = ("temperature", "top_p", "top_k", "max_tokens")
        return {
            "preset": evaluation.preset,
            **{name: getattr(rollout, name) for name in names},
            "samples": rollout.group_size,
            "seed": self.spec.seed,
        }

    @property
    def wanted_samples(self) -> int | None:
        """Responses to each question, where the user says."""
        return _section(self.spec).samples

    def saved(self, problems: Sequence[Problem], samples: int, facts: Mapping[str, Any]) -> Questions:
        """The same with the prompts and the sampling of responses that were saved."""
        known = {name: facts[name] for name in DRAWN if name in facts}
        spec = self.spec.model_copy(
            update={"rollout": self.spec.rollout.model_copy(update={**known, "group_size": samples})}
        )
        drawn = dict.fromkeys(("preset", *DRAWN, "max_tokens", "seed")) | known | facts.get("sampling", {})
        return Questions(self.benchmark, spec, tuple(problems), {**drawn, "saved": facts.get("fingerprint")})

    def describe(self) -> dict[str, Any]:
        """What is asked and who judges, for the result."""
        dataset = {
            key: value for key, value in self.spec.data.train.model_dump(mode="json").items() if key not in PATHS
        }
        verifier = self.spec.reward.verifier
        sandbox = {"sandbox": _sandbox(verifier)} if isinstance(verifier, Code) else {}
        return {
            "dataset": {**dataset, "hash": self.dataset_hash},
            "prompt_hash": self.prompt_hash,
            "grader": verifier.model_dump(mode="json"),
            **sandbox,
        }


DRAWN = ("temperature", "top_p", "top_k")
"""Columns of a file of rollouts that say how it was sampled."""
PATHS = ("folder", "path", "paths")
"""Where files lie is no part of what they hold: the hash is."""


def questions_of(spec: ExperimentSpec) -> list[Questions]:
    """Every benchmark of the experiment's evaluation, loaded; all missing files are found before anything is read.

    Raises:
        SpecError: a setting does not fit its benchmark.
        DataError: files are missing, or unusable.
    """
    evaluation = _section(spec)
    if missing := missing_files(evaluation):
        said = ", ".join(f"{name} ({', '.join(files)})" for name, files in missing.items())
        raise DataError(
            f"no files for {said}; name the folder that holds them with --data (evaluation.folder), or leave these "
            "benchmarks out"
        )
    chosen = [(each, _benchmark_spec(spec, each, evaluation)) for each in benchmarks_of(evaluation.suite)]
    return [Questions(each, own, _problems(own.data.train, evaluation, each)) for each, own in chosen]


def prepared(questions: Questions, tokenizer: Tokenizer) -> PreparedProblems:
    """The prompts as the model gets them.

    Raises:
        DataError: one is too long.
    """
    longest = _section(questions.spec).max_prompt_tokens
    found = prepare(ProblemSet(questions.problems), tokenizer, "plain", longest)
    if left_out := len(questions.problems) - len(found.problems):
        raise DataError(
            f"{questions.name}: {left_out} of {len(questions.problems)} questions have prompts of more than {longest} "
            "tokens; raise evaluation.max_prompt_tokens: no question is left out"
        )
    return found


def origin(questions: Questions, prompts: PreparedProblems | None, engine: Engine, model_hash: str) -> dict[str, Any]:
    """Everything that decides what is in a benchmark's file."""
    generator = json.loads(questions.spec.rollout.generator.model_dump_json())
    return {
        "benchmark": questions.name,
        **questions.describe(),
        "sampling": questions.sampling(),
        "rendered_hash": rendered_hash(prompts) if prompts is not None else None,
        "generator": {key: value for key, value in generator.items() if key in DECIDING},
        "engine": {"name": engine.name, "version": engine.version},
        "model_hash": model_hash,
    }


def details(questions: Questions, prompts: PreparedProblems | None) -> dict[str, Any]:
    """What is said of a benchmark in the result, beside what came out."""
    rendered = {"rendered_hash": rendered_hash(prompts)} if prompts is not None else {}
    return {**questions.describe(), **rendered, "sampling": questions.sampling()}


def rendered_hash(prompts: PreparedProblems) -> str:
    """Differs when the token ids that the model gets do: the chat template is in it."""
    return _digest(sorted((each.id, ids) for each, ids in zip(prompts.problems, prompts.prompt_ids, strict=True)))


def _sandbox(verifier: Code) -> str:
    """What confines the programs here. Raises UserError where nothing does."""
    return choose(None if verifier.tier == "auto" else verifier.tier, unsafe=verifier.unsafe_local_exec)


def _section(spec: ExperimentSpec) -> EvaluationSpec:
    if spec.evaluation is None:
        raise SpecError("the experiment has no section evaluation")
    return spec.evaluation


def _benchmark_spec(spec: ExperimentSpec, benchmark: Benchmark, evaluation: EvaluationSpec) -> ExperimentSpec:
    """The experiment that samples a benchmark and trains nothing."""
    preset = PRESETS[evaluation.preset]
    drawn = preset.sampling
    rollout = spec.rollout.model_copy(
        update={
            "temperature": evaluation.temperature or drawn.temperature,
            "top_p": evaluation.top_p or drawn.top_p,
            "top_k": drawn.top_k,
            "max_tokens": evaluation.max_tokens or drawn.max_tokens,
            "group_size": evaluation.samples or benchmark.samples or preset.samples_of(benchmark.name),
            "dynamic_sampling": None,
            "correction": None,
            "branching": None,
            "ahead": 0,
        }
    )
    dataset, verifier = dataset_of(benchmark, evaluation), verifier_of(benchmark, evaluation)
    data = DataSpec(train=dataset, template="plain", max_prompt_tokens=evaluation.max_prompt_tokens)
    return spec.model_copy(update={"data": data, "rollout": rollout, "reward": RewardSpec(verifier=verifier)})


def _problems(dataset: Dataset, evaluation: EvaluationSpec, benchmark: Benchmark) -> tuple[Problem, ...]:
    problems = tuple(dataset.load().problems)[: evaluation.questions]
    if len({each.id for each in problems}) != len(problems):
        raise DataError(f"{benchmark.name}: two questions have the same id")
    return problems


def _plain(value: Any) -> Any:  # noqa: ANN401 (what JSON does not know: sets, complex numbers, tests that are unpacked late)
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    return list(value) if isinstance(value, Sequence) else repr(value)


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(
            json.dumps(part, ensure_ascii=False, sort_keys=True, default=_plain).encode("utf-8", "surrogatepass")
        )
        digest.update(b"\n")
    return digest.hexdigest()[:16]
