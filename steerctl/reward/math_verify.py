r"""Mathematical equality of the last `\boxed{}` and the reference answer.

Steps, each final when it decides; `Verdict.why` names the one that did:
 1. the answer is the last `\boxed{...}` whose braces match, at most 4,096 characters;
 2. two plain integers are compared as integers;
 3. both sides are normalised; equal spelling is right; two numbers are compared (integers exactly);
 4. a per cent sign on one side only: x % is accepted for x and for x/100;
 5. math-verify 0.9 parses and compares, in a process that is killed at the time limit.

Source: math-verify (huggingface/Math-Verify 0.9.0). Departures: 1. only the last box counts (math-verify merges all
boxes into a set); 2. a number outside a box does not count unless `where` says so; 3. plain numbers never reach its
rounding to six decimals, under which 1e-7 equals 2e-7; 4. steps 2 to 4 are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from steerctl.errors import DataError
from steerctl.reward import VerifierSpec
from steerctl.reward.grading.compare import compare, gold_of, plain_integers
from steerctl.reward.grading.extract import MAX_ANSWER, Where, extract
from steerctl.reward.grading.pool import Outcome, Task, WorkerPool
from steerctl.types import Problem, Verdict


class MathVerify(VerifierSpec):
    """Mathematical equality with the last boxed answer."""

    kind: Literal["math_verify"] = "math_verify"
    where: Where = "boxed"
    """Without a box: boxed (wrong), answer_line (a line "Answer: ..."), anywhere (the parser searches the text)."""
    relative_tolerance: NonNegativeFloat = 1e-6
    """For two decimal numbers; an integer reference answer is compared exactly."""
    workers: PositiveInt = 2
    """Processes for answers that need a parser; started when the first one comes."""
    time_limit_seconds: PositiveFloat = 6.0
    """Wall clock for one answer; then the process is killed and the answer is wrong, status timeout."""
    memory_gib: PositiveFloat = 2.0
    """Address space of each process."""

    def open(self) -> MathVerifier:
        """The verifier itself; whoever opens it closes it."""
        return MathVerifier(self)


class MathVerifier:
    """A Verifier with worker processes; not for use from two threads at once."""

    def __init__(self, spec: MathVerify) -> None:
        self._spec = spec
        self.pool = WorkerPool(spec.workers, spec.time_limit_seconds, spec.memory_gib)

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order; equal questions to a worker are asked once."""
        verdicts: list[Verdict | None] = []
        asked: dict[Task, list[int]] = {}
        answers: dict[int, str] = {}
        for index, (problem, text) in enumerate(pairs):
            decided = self._decide(problem.gold, text)
            if isinstance(decided, Verdict):
                verdicts.append(decided)
                continue
            answers[index], task = decided
            asked.setdefault(task, []).append(index)
            verdicts.append(None)
        for task, outcome in zip(asked, self.pool.run(list(asked)), strict=True):
            for index in asked[task]:
                verdicts[index] = _verdict(answers[index], outcome)
        return [verdict for verdict in verdicts if verdict is not None]

    def check_golds(self, problems: Iterable[Problem]) -> None:
        """Raise DataError, naming the first of them, if reference answers cannot be verified even against themselves.

        A number passes at once; anything else is parsed in a worker. Such a problem would give reward 0 to every
        response.
        """
        first = {problem.gold: problem for problem in reversed(list(problems))}
        tasks: dict[str, Task] = {}
        for gold in first:
            reference = gold_of(gold)
            if reference.text is not None and reference.value is None:
                tasks[gold] = Task("gold", reference.text)
        outcomes = dict(zip(tasks, self.pool.run(list(tasks.values())), strict=True))
        suspects = [
            problem
            for gold, problem in reversed(first.items())
            if gold_of(gold).text is None or (gold in outcomes and not outcomes[gold].right)
        ]
        if suspects:
            raise DataError(
                f"{len(suspects)} reference answers do not verify against themselves, first {suspects[0].id}: "
                f"{suspects[0].gold[:60]!r}; leave these problems out or mend them"
            )

    def close(self) -> None:
        """End the worker processes; may be called twice."""
        self.pool.close()

    def _decide(self, gold: str, text: str) -> Verdict | tuple[str, Task]:
        """A verdict if no parser is needed, else the answer and the question for a worker."""
        found = extract(text, self._spec.where)
        answer = found.answer
        if answer is None:
            why = f"the box is longer than {MAX_ANSWER} characters" if found.status == "too_long" else "no box"
            return Verdict(0.0, None, why, found.status)
        integers = plain_integers(answer, gold)
        if integers is not None:
            return Verdict(1.0 if integers else 0.0, answer, "integers")
        reference = gold_of(gold)
        if reference.text is None:
            return Verdict(0.0, _storable(answer), "unreadable reference answer", "error")
        decision = compare(answer, reference, self._spec.relative_tolerance)
        if found.found_in == "prose" and not decision.right:
            return _storable(answer), Task("prose", reference.text, (answer,))
        if decision.right is None:
            return _storable(answer), Task(found.found_in, reference.text, decision.candidates)
        return Verdict(float(decision.right), _storable(answer), decision.why)


def _verdict(answer: str, outcome: Outcome) -> Verdict:
    return Verdict(float(outcome.right), answer, outcome.why, outcome.status)


def _storable(answer: str) -> str:
    """The answer with lone surrogates replaced, so that it can be written as UTF-8."""
    return answer if answer.isascii() else answer.encode("utf-8", "replace").decode("utf-8")
