"""One `steerctl eval`: sample or read, judge, measure; killed at any moment, the same command goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from steerctl.data.templates import Tokenizer
from steerctl.engine.frozen import Alone
from steerctl.errors import Interrupted
from steerctl.protocols import Generator, Verifier
from steerctl.run.evaluate_parts import Work, fill_benchmarks, judges, measure, sampling_source
from steerctl.run.evaluate_plan import Evaluation
from steerctl.run.evaluate_saved import SavedAnswers
from steerctl.run.questions import Questions
from steerctl.run.sampling import Sampler, SamplingDisplay, Source, open_sampler
from steerctl.run.timing import Clock, TimedGenerator, TimedVerifier
from steerctl.store.evaluations import EvaluationFolder


def evaluate(
    evaluation: Evaluation, display: Callable[[], SamplingDisplay], *, overwrite: bool = False
) -> dict[str, Any]:
    """The result; what is on disk already is not sampled again.

    Raises:
        RunFolderError: the folder holds another evaluation, or another process is writing it.
        Interrupted: on Ctrl-C; what is sampled is kept.
    """
    folder, shown = EvaluationFolder(evaluation.out), display()
    with ExitStack() as opened:
        opened.callback(shown.close)
        work = [
            Work(each, opened.enter_context(folder.samples(each.name, evaluation.origin(each), overwrite=overwrite)))
            for each in evaluation.questions
        ]
        try:
            if any(each.unfinished for each in work):
                _fill(evaluation, work, shown)
            else:
                shown.note(f"{folder.path} is complete; nothing is sampled")
        except KeyboardInterrupt:
            kept = f"{_done(work)} of {_total(work)} responses are kept in {folder.path}"
            raise Interrupted(f"stopped; {kept}; the same command goes on") from None
    return measure(folder, evaluation.questions, evaluation.sampled, evaluation.prompts, evaluation.flags)


def _fill(evaluation: Evaluation, work: list[Work], shown: SamplingDisplay) -> None:
    """Judges first: a missing sandbox or a broken reference answer is found before an engine is started."""
    clock, sampled = Clock(), evaluation.sampled
    unfinished = [each.questions for each in work if each.unfinished]
    with ExitStack() as opened:
        opened_judges = opened.enter_context(judges(unfinished))
        judged = {name: TimedVerifier(verifier, clock) for name, verifier in opened_judges.items()}
        source_of: Callable[[Questions], Source]
        if isinstance(evaluation.responder, SavedAnswers):
            source_of = partial(_saved_source, evaluation.responder, judged)
        else:
            sampler = opened.enter_context(_sampler(evaluation, evaluation.responder, unfinished, shown))
            timed = TimedGenerator(sampler.generator, clock)
            source_of = partial(_sampled_source, evaluation, timed, judged)
        longest = max(each.spec.rollout.max_tokens for each in unfinished)
        shown.start(evaluation.title, _done(work), _total(work), longest)
        fill_benchmarks(work, source_of, sampled=sampled, ranks=Alone(), clock=clock, told=shown.samples)


def _saved_source(answers: SavedAnswers, judged: Mapping[str, Verifier], questions: Questions) -> Source:
    return answers.source(questions, judged[questions.name])


def _sampled_source(
    evaluation: Evaluation, generator: Generator, judged: Mapping[str, Verifier], questions: Questions
) -> Source:
    prompts = evaluation.prompts[questions.name]
    return sampling_source(questions, prompts, generator, judged[questions.name], Alone())


def _sampler(
    evaluation: Evaluation, tokenizer: Tokenizer, unfinished: list[Questions], shown: SamplingDisplay
) -> AbstractContextManager[Sampler]:
    """One generator for all benchmarks, as long as the longest of them needs."""
    first = max(unfinished, key=lambda each: each.spec.rollout.max_tokens)
    prompts, logs = evaluation.prompts[first.name], evaluation.out / "servers"
    return open_sampler(first.spec, tokenizer, prompts, shown, logs=logs, engine=evaluation.sampled.engine)


def _done(work: list[Work]) -> int:
    return sum(each.positions * each.questions.samples for each in work)


def _total(work: list[Work]) -> int:
    return sum(len(each.questions.problems) * each.questions.samples for each in work)
