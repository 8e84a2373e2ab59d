r"""Mathematical equality of the last `\boxed{}` and the reference answer.

Steps, each final when it decides; `Verdict.why` names the one that did:
 1. the answer is the last `\boxed{...}` whose braces match, at most 4,096 characters;
 2. two plain integers are compared as integers;
 3. both sides are normalised; equal spelling is right; two numbers are compared (integers exactly);
 4. a per cent sign on one side only: x % is x/100, and also x if the question speaks of per cent or is not known;
 5. the form: a set is no tuple, number bases, times of day, letters of multiple choice (grading/forms.py);
 6. math-verify 0.9 parses and compares, in a process that is killed at the time limit; its rounding is corrected and
    rounded decimals are read as such (grading/judge.py).

A problem may accept several answers and set its tolerance: `info["golds"]` (texts; without it `gold` alone) and
`info["relative_tolerance"]`.

Source: math-verify (huggingface/Math-Verify 0.9.0). Departures: 1. only the last box counts (math-verify merges all
boxes into a set); 2. a number outside a box does not count unless `where` says so; 3. plain numbers never reach its
rounding to six decimals, under which 1e-7 equals 2e-7; 4. 1e5 is a number, not five times Euler's; 5. x > 5 equals
(5, ∞) whichever side it stands on; 6. steps 2 to 5 are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from steerctl.errors import DataError
from steerctl.reward import VerifierSpec
from steerctl.reward.grading.batch import Asked, settle, storable
from steerctl.reward.grading.compare import compare, gold_of, plain_integers
from steerctl.reward.grading.extract import MAX_ANSWER, Extraction, Where, extract
from steerctl.reward.grading.pool import Task, WorkerPool
from steerctl.types import Problem, Verdict

_PER_CENT = ("%", "percent", "per cent", "百分")


class MathVerify(VerifierSpec):
    """Mathematical equality with the last boxed answer."""

    kind: Literal["math_verify"] = "math_verify"
    where: Where = "boxed"
    """Without a box: boxed (wrong), answer_line (a line "Answer: ..."), anywhere (the parser searches the text)."""
    relative_tolerance: NonNegativeFloat = 1e-6
    """For two decimal numbers; an integer reference answer is compared exactly. A problem may set its own."""
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
        return settle(self.pool, [self._decide(problem, text) for problem, text in pairs])

    def check_golds(self, problems: Iterable[Problem]) -> None:
        """Raise DataError, naming the first of them, if reference answers cannot be verified even against themselves.

        A number passes at once; anything else is parsed in a worker. Such a problem would give reward 0 to every
        response. Of several reference answers each must pass.
        """
        first = {gold: problem for problem in reversed(list(problems)) for gold in reversed(golds_of(problem))}
        tasks: dict[str, Task] = {}
        for gold in first:
            reference = gold_of(gold)
            if reference.text is not None and reference.value is None:
                tasks[gold] = Task("gold", reference.text)
        outcomes = dict(zip(tasks, self.pool.run(list(tasks.values())), strict=True))
        suspects = [
            (problem, gold)
            for gold, problem in reversed(first.items())
            if gold_of(gold).text is None
            or (gold in outcomes and outcomes[gold].status != "timeout" and not outcomes[gold].right)
        ]
        if suspects:
            problem, gold = suspects[0]
            raise DataError(
                f"{len(suspects)} reference answers do not verify against themselves, first {problem.id}: "
                f"{gold[:60]!r}; leave these problems out or mend them"
            )

    def close(self) -> None:
        """End the worker processes; may be called twice."""
        self.pool.close()

    def _decide(self, problem: Problem, text: str) -> Verdict | Asked:
        """A verdict if no parser is needed, else the questions for the workers."""
        found = extract(text, self._spec.where)
        answer = found.answer
        if answer is None:
            why = f"the box is longer than {MAX_ANSWER} characters" if found.status == "too_long" else "no box"
            return Verdict(0.0, None, why, found.status)
        golds = golds_of(problem)
        integers = plain_integers(answer, golds[0]) if len(golds) == 1 else None
        if integers is not None:
            return Verdict(1.0 if integers else 0.0, answer, "integers")
        return self._against(golds, found, answer, problem)

    def _against(self, golds: tuple[str, ...], found: Extraction, answer: str, problem: Problem) -> Verdict | Asked:
        """The same for an answer and each accepted reference answer; the first that it equals decides."""
        tolerance = float(problem.info.get("relative_tolerance", self._spec.relative_tolerance))
        shown, tasks, why = storable(answer), list[Task](), ""
        for gold in golds:
            if plain_integers(answer, gold):
                return Verdict(1.0, answer, "integers")
            reference = gold_of(gold)
            if reference.text is None:
                continue
            decision = compare(answer, reference, tolerance, per_cent_asked=_per_cent_asked(problem, answer))
            if decision.right:
                return Verdict(1.0, shown, decision.why)
            why = why or decision.why
            if found.found_in == "prose":
                tasks.append(Task("prose", reference.text, (answer,), tolerance))
            elif decision.right is None:
                tasks.append(Task(found.found_in, decision.gold, decision.candidates, tolerance))
        if tasks:
            return Asked(shown, tuple(tasks))
        return Verdict(0.0, shown, why or "unreadable reference answer", "ok" if why else "error")


def golds_of(problem: Problem) -> tuple[str, ...]:
    """Every reference answer that is accepted, the original first."""
    golds = problem.info.get("golds") if problem.info else None
    return tuple(golds) if golds else (problem.gold,)


def _per_cent_asked(problem: Problem, answer: str) -> bool:
    """Whether x % may mean x: the question speaks of per cent, or is not known."""
    if not problem.prompt or not any(word in answer.lower() for word in ("%", "percent", "pct")):
        return True
    question = " ".join(message.content for message in problem.prompt).lower()
    return any(word in question for word in _PER_CENT)
