"""What a run has only if the experiment asks for it: branching responses, a teacher with the answers, a probe."""

from __future__ import annotations

from steerctl.data.templates import Tokenizer, render
from steerctl.data.tokenise import PreparedProblems
from steerctl.intervention.rlrt import Rlrt
from steerctl.protocols import Generator, MeasuredPolicy, Policy
from steerctl.rollout.branch import BranchingGenerator
from steerctl.rollout.teacher import Teacher
from steerctl.run.probe import NoProbe, Probe, TokenProbe
from steerctl.run.timing import Clock
from steerctl.spec.experiment import ExperimentSpec
from steerctl.types import Message, Problem


def branching(
    spec: ExperimentSpec, generator: Generator, policy: MeasuredPolicy, tokenizer: Tokenizer, device: str
) -> Generator:
    """The generator, with rollout.branching around it."""
    if spec.rollout.branching is None:
        return generator
    return BranchingGenerator(
        generator, policy, tokenizer, spec.rollout.branching, spec.engine.micro_batch_tokens, device
    )


def teacher(spec: ExperimentSpec, problems: PreparedProblems, tokenizer: Tokenizer, device: str) -> Teacher | None:
    """The prompts with the answer in them, if an intervention wants them."""
    hints = [each.hint for each in spec.algorithm.interventions if isinstance(each, Rlrt)]
    if not hints:
        return None
    hinted = {problem.id: render(with_hint(problem, hints[0]), tokenizer) for problem in problems.problems}
    return Teacher(hinted, spec.engine.micro_batch_tokens, device)


def probe(spec: ExperimentSpec, policy: Policy, clock: Clock) -> Probe:
    """What looks at some updates' tokens; policy: without a clock of its own."""
    if spec.analysis.probe is None:
        return NoProbe()
    return TokenProbe(
        spec.analysis.probe, policy, spec.algorithm.loss, clock, seed=spec.seed,
        updates_per_step=spec.optim.updates_per_step, token_budget=spec.engine.micro_batch_tokens,
        alike=spec.policy.dtype != "float32",
    )  # fmt: skip


def with_hint(problem: Problem, hint: str) -> tuple[Message, ...]:
    """The problem's turns, the hint after the last one of the user."""
    turns = list(problem.prompt)
    last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=len(turns) - 1)
    turns[last] = Message(turns[last].role, turns[last].content + hint.replace("{gold}", problem.gold))
    return tuple(turns)
