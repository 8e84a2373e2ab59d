"""Responses that were saved, as the answers to benchmarks: judged anew, nothing is sampled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.origin import Engine
from steerctl.errors import DataError, SpecError
from steerctl.protocols import Verifier
from steerctl.run.evaluate_parts import Sampled
from steerctl.run.questions import DRAWN, Questions
from steerctl.run.sampling import Source
from steerctl.store.sample_rows import read_origin, read_tables
from steerctl.store.saved import SavedRollouts
from steerctl.types import Problem, RolloutGroup

UNKNOWN = "unknown"
ORIGIN = ("engine", "engine_version", "model", "model_hash", "weight_version", "fingerprint")


@dataclass(frozen=True, slots=True)
class SavedAnswers:
    """A file of rollouts by question.

    places  problem id -> number of its group in the file
    facts   what the file's first row says of engine, model and sampling, where it has such columns
    """

    saved: SavedRollouts
    places: Mapping[str, int]
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> SavedAnswers:
        """A file of `steerctl rollout` or of an earlier evaluation, or a run folder.

        Raises:
            DataError: it cannot be used, a question has fewer responses than another, or one was asked twice.
        """
        saved = SavedRollouts.open(path)
        ids = [name for piece in saved.pieces for name in piece.read(["problem_id"]).column(0).to_pylist()]
        places: dict[str, int] = {}
        for place, name in enumerate(ids[:: saved.group_size]):
            if place != places.setdefault(name, place):
                raise DataError(f"{path}: question {name} was asked twice; an evaluation takes each once")
        facts: dict[str, Any] = {}
        if saved.path.is_file():
            first = next(read_tables(saved.path, (*ORIGIN, *DRAWN)))
            facts = {name: first.column(name)[0].as_py() for name in first.column_names}
            facts["sampling"] = _sampling(saved.path)
        return cls(saved, places, facts)

    @property
    def sampled(self) -> Sampled:
        """What the responses came from, as far as the file says."""
        told = {name: str(self.facts.get(name, UNKNOWN)) for name in ORIGIN}
        engine = Engine(told["engine"], told["engine_version"])
        return Sampled(engine, told["model"], told["model_hash"], int(self.facts.get("weight_version") or 0))

    def answered(self, questions: Questions) -> tuple[Questions, PreparedProblems]:
        """The questions with the prompts that were really asked, in the order of the file.

        Raises:
            DataError: a question was not asked.
            SpecError: another number of samples is wanted.
        """
        missing = [each.id for each in questions.problems if each.id not in self.places]
        if missing:
            raise DataError(
                f"{self.saved.path}: {len(missing)} of {len(questions.problems)} questions of {questions.name} have no "
                f"response, first {missing[0]}; a missing response is never counted as wrong"
            )
        wanted = questions.wanted_samples
        if wanted not in {None, self.saved.group_size}:
            raise SpecError(f"{self.saved.path}: has {self.saved.group_size} responses to each question, not {wanted}")
        problems = sorted(questions.problems, key=lambda each: self.places[each.id])
        asked, prompt_ids = [], []
        for problem, group in zip(problems, self._groups([self.places[each.id] for each in problems]), strict=True):
            asked.append(replace(problem, prompt=group.problem.prompt))
            prompt_ids.append(group.prompt_ids)
        return questions.saved(asked, self.saved.group_size, self.facts), PreparedProblems(asked, prompt_ids)

    def source(self, questions: Questions, verifier: Verifier) -> Source:
        """The groups at some positions of `questions`, judged."""

        def read(positions: range) -> list[RolloutGroup]:
            problems = questions.problems[positions.start : positions.stop]
            return _judged(problems, list(self._groups([self.places[each.id] for each in problems])), verifier)

        return read

    def _groups(self, places: Sequence[int]) -> Iterator[RolloutGroup]:
        """The groups at these ascending places; neighbours are read together."""
        cuts = [0, *(index for index, (one, next_) in enumerate(pairwise(places), 1) if next_ != one + 1), len(places)]
        for start, stop in pairwise(cuts):
            if stop > start:
                yield from self.saved.block(places[start], places[stop - 1] + 1)


def _sampling(path: Path) -> Mapping[str, Any]:
    """How the file was sampled, as far as its record says: that of an evaluation, or of `steerctl rollout`."""
    record = read_origin(path).record or {}
    experiment = record.get("experiment", {})
    own = {"seed": experiment.get("seed"), "max_tokens": experiment.get("rollout", {}).get("max_tokens")}
    return record.get("sampling") or own


def _judged(problems: Sequence[Problem], groups: Sequence[RolloutGroup], verifier: Verifier) -> list[RolloutGroup]:
    pairs = [
        (problem, rollout.text) for problem, group in zip(problems, groups, strict=True) for rollout in group.rollouts
    ]
    verdicts = iter(verifier.verify(pairs))
    found = []
    for problem, group in zip(problems, groups, strict=True):
        own = tuple(next(verdicts) for _ in group.rollouts)
        found.append(RolloutGroup(problem, group.prompt_ids, group.rollouts, own, tuple(each.value for each in own)))
    return found
