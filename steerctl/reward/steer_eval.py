r"""The evaluation grader of STEER as released: string equality, or the Qwen2.5-Math grader on the last 300 characters.

To reproduce published numbers only. Its known false positives are kept: 26001 for 26000 (relative tolerance 1e-4 also
on integers), x for 100 x and for x/100, `[a,b)` for `(a,b)`, and a number in prose counts as an answer. Known false
negatives are kept too: `4.5 \times 10^{33}` for `4.5e33`.

Source: zz-haooo/STEER b31df71, `verl/utils/reward_score/multi_datasets_eval.py` (`eval_method="both"`), and the grader
of QwenLM/Qwen2.5-Math. Departures: 1. no text is ever evaluated as Python: formulas are read by the ANTLR grammar that
math-verify uses, where the original tries SymPy's `parse_expr` first; 2. worker processes that are killed at the limit
instead of a new process per answer; 3. the verdict is 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from steerctl.reward import VerifierSpec
from steerctl.reward.dapo_strict import strict_answer
from steerctl.reward.grading.batch import Asked, settle, storable
from steerctl.reward.grading.pool import Task, WorkerPool
from steerctl.reward.grading.qwen import extract_answer, plainly_equal
from steerctl.types import Problem, Verdict

_TAIL = 300


class SteerEval(VerifierSpec):
    """Strict string equality or the Qwen2.5-Math grader."""

    kind: Literal["steer_eval"] = "steer_eval"
    workers: PositiveInt = 2
    """Processes for answers that need a parser; started when the first one comes."""
    time_limit_seconds: PositiveFloat = 10.0
    """Wall clock for one answer, as released; then the process is killed and the answer is wrong, status timeout."""
    memory_gib: PositiveFloat = 2.0
    """Address space of each process."""

    def open(self) -> SteerEvalVerifier:
        """The verifier itself; whoever opens it closes it."""
        return SteerEvalVerifier(self)


class SteerEvalVerifier:
    """A Verifier with worker processes; not for use from two threads at once."""

    def __init__(self, spec: SteerEval) -> None:
        self.pool = WorkerPool(spec.workers, spec.time_limit_seconds, spec.memory_gib)

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order. `info["golds"]` is not looked at."""
        return settle(self.pool, [_decide(problem.gold, text[-_TAIL:]) for problem, text in pairs])

    def close(self) -> None:
        """End the worker processes; may be called twice."""
        self.pool.close()


def _decide(gold: str, text: str) -> Verdict | Asked:
    strict = strict_answer(text)
    if strict == gold:
        return Verdict(1.0, strict, "same text")
    answer = extract_answer(text)
    if not answer:
        return Verdict(0.0, None, "no answer", "no_answer")
    shown = storable(answer)
    plain = plainly_equal(answer, gold)
    if plain is not None:
        return Verdict(float(plain), shown, "qwen: text or numbers")
    return Asked(shown, (Task("qwen", gold, (shown,)),))
