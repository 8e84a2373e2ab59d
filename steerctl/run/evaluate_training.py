"""Benchmarks on a schedule while a run trains, with the run's own generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.origin import Engine, engine_of
from steerctl.errors import RunFolderError
from steerctl.protocols import Generator, MeasuredPolicy, Verifier
from steerctl.run.evaluate_parts import Sampled, Work, fill_benchmarks, judges, measure, sampling_source
from steerctl.run.questions import Questions, origin, prepared, questions_of
from steerctl.run.sampling import Source
from steerctl.run.timing import Clock
from steerctl.spec.experiment import ExperimentSpec
from steerctl.store.evaluations import EvaluationFolder
from steerctl.store.samples import SampleFile


@dataclass(frozen=True, slots=True)
class ScheduledEvaluation:
    """The benchmarks of a run, ready to be asked; the same on every rank.

    opened  holds the judges until `close`
    """

    questions: tuple[Questions, ...]
    prompts: Mapping[str, PreparedProblems]
    judged: Mapping[str, Verifier]
    engine: Engine
    model: str
    every: int
    last: int
    opened: ExitStack

    @classmethod
    def of(cls, spec: ExperimentSpec, tokenizer: Tokenizer) -> ScheduledEvaluation | None:
        """What section `evaluation` asks for; None without it.

        Raises:
            UserError: a benchmark, or its judge, cannot be used here.
        """
        if spec.evaluation is None:
            return None
        questions = tuple(questions_of(spec))
        prompts = {each.name: prepared(each, tokenizer) for each in questions}
        engine = engine_of(spec.rollout.generator)
        opened = ExitStack()
        judged = opened.enter_context(judges(questions))
        return cls(questions, prompts, judged, engine, spec.policy.model, spec.evaluation.every, spec.steps, opened)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with the longest response."""
        prompts = max(len(ids) for each in self.prompts.values() for ids in each.prompt_ids)
        return prompts + max(each.spec.rollout.max_tokens for each in self.questions)

    @property
    def most_tokens(self) -> int:
        """Of all responses together, if none ends early."""
        return sum(len(each.problems) * each.samples * each.spec.rollout.max_tokens for each in self.questions)

    def due(self, step: int) -> bool:
        """Whether the policy is measured after this step; 0: before the first."""
        return step % self.every == 0 or step == self.last

    def run(self, path: Path | None, step: int, policy: MeasuredPolicy, generator: Generator) -> dict[str, float]:
        """Metrics of the policy after `step`; collective. The first rank alone has the path, and the metrics.

        What was sampled from these very weights before, by this run or before it was interrupted, is not sampled
        again.
        """
        sampled = Sampled(self.engine, self.model, weights_hash(policy.weights()), step)
        folder = EvaluationFolder(path) if path is not None else None
        with ExitStack() as files:
            work = [
                Work(each, files.enter_context(self._file(folder, each, sampled)) if folder is not None else None)
                for each in self.questions
            ]

            def source_of(questions: Questions) -> Source:
                judge = self.judged[questions.name]
                return sampling_source(questions, self.prompts[questions.name], generator, judge, policy)

            fill_benchmarks(work, source_of, sampled=sampled, ranks=policy, clock=Clock(), told=_nobody)
        return metrics_of(measure(folder, self.questions, sampled, self.prompts)) if folder is not None else {}

    def close(self) -> None:
        """Free the judges."""
        self.opened.close()

    def _file(self, folder: EvaluationFolder, questions: Questions, sampled: Sampled) -> SampleFile:
        """The file of a benchmark; one of other weights, left by a run that took another course, is replaced."""
        record = origin(questions, self.prompts[questions.name], sampled.engine, sampled.model_hash)
        try:
            return folder.samples(questions.name, record)
        except RunFolderError:
            return folder.samples(questions.name, record, overwrite=True)


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The result as metrics of the catalogue."""
    found: dict[str, float] = {}
    for name, each in result["benchmarks"].items():
        samples = str(each["samples"])
        area = f"eval/{name}"
        found[f"{area}/accuracy/mean"] = each["accuracy"]["value"]
        if (error := each["accuracy"]["intervals"]["questions like these"]["error"]) is not None:
            found[f"{area}/accuracy/error"] = error
        for key, quantity in (("pass_at", "pass"), ("majority_at", "majority")):
            if samples in each[key]:
                found[f"{area}/{quantity}/mean"] = each[key][samples]["value"]
        found[f"{area}/no_answer/fraction"] = each["no_answer"]
        found[f"{area}/truncated/fraction"] = each["truncated"]
        found[f"{area}/length/mean"] = each["length"]["mean"]
        found[f"{area}/timeout/count"] = float(each["grader_timeouts"])
    if "macro" in result:
        found["eval/macro/accuracy/mean"] = result["macro"]["value"]
    return found


def weights_hash(weights: Iterable[tuple[str, Tensor]]) -> str:
    """16 hexadecimal digits that differ when a parameter does; collective where the weights are."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in weights:
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _nobody(done: int) -> None:
    """The run's own display says what it is doing."""
