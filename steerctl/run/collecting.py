"""From the experiment to what samples and judges groups of responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from steerctl.data import Dataset
from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems, prepare
from steerctl.engine.embedded import embedded_generator
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.errors import SpecError
from steerctl.protocols import Generator, MeasuredPolicy, Ranks, Verifier
from steerctl.reward import VerifierSpec
from steerctl.reward.shape import shaped_rewards
from steerctl.rollout.collect import Collector, Shape
from steerctl.run.parity import Parity
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.generator import VllmGenerator
from steerctl.types import Problem, Rollout, Sampling, Verdict


def open_generator(
    spec: ExperimentSpec,
    tokenizer: Tokenizer,
    ranks: Ranks,
    device: torch.device,
    *,
    on_tokens: Callable[[int], None],
    logs: Path | None,
    longest: int = 0,
) -> Generator:
    """What samples; it has no weights before the first `load_weights`, the embedded one apart. Whoever opens closes.

    longest  tokens of a prompt and its response that servers must have room for, if more than the experiment's own
    """
    generator = spec.rollout.generator
    if not isinstance(generator, VllmGenerator):
        return embedded_generator(spec.policy, generator, tokenizer, seed=spec.seed, device=device, on_tokens=on_tokens)
    if spec.engine.hostfile is not None and not generator.urls:
        raise SpecError("rollout.generator: servers on several machines must be started by you; name them in urls")
    given = spec.rollout.max_tokens if spec.rollout.branching is not None else 0
    longest = max(longest, spec.data.max_prompt_tokens + given + spec.rollout.max_tokens)
    return ServedGenerator(
        generator, spec.policy, tokenizer, ranks, longest=longest, seed=spec.seed, logs=logs, on_tokens=on_tokens
    )


def parity_check(
    spec: ExperimentSpec, sampler: Generator, policy: MeasuredPolicy, device: torch.device, problems: PreparedProblems
) -> Parity | None:
    """Compares servers with the policy; None with the embedded generator, or if it is switched off."""
    generator, rollout = spec.rollout.generator, spec.rollout
    if not (isinstance(sampler, ServedGenerator) and isinstance(generator, VllmGenerator) and generator.parity_tokens):
        return None
    return Parity(
        generator=sampler,
        policy=policy,
        problems=problems,
        sampling=Sampling(rollout.temperature, 1.0, 0, rollout.max_tokens),
        seed=spec.seed,
        tokens=generator.parity_tokens,
        tolerance=generator.parity_tolerance,
        micro_batch_tokens=spec.engine.micro_batch_tokens,
        device=str(device),
    )


def open_judge(spec: VerifierSpec, problems: Sequence[Problem]) -> Verifier:
    """The judge, once the reference answers of the problems pass it; whoever opens it closes it.

    Raises:
        DataError: a reference answer does not pass.
        UserError: the judge cannot work on this machine.
    """
    verifier = spec.open()
    check = getattr(verifier, "check_golds", None)  # not every judge has reference answers that may be broken
    if check is not None:
        try:
            check(problems)
        except BaseException:
            verifier.close()
            raise
    return verifier


def prepared_problems(spec: ExperimentSpec, dataset: Dataset, tokenizer: Tokenizer) -> PreparedProblems:
    """The problems of a data set as this experiment asks them."""
    return prepare(dataset.load(), tokenizer, spec.data.template, spec.data.max_prompt_tokens)


def group_collector(
    spec: ExperimentSpec, prompts: PreparedProblems, generator: Generator, verifier: Verifier, ranks: Ranks
) -> Collector:
    """Samples and judges groups as this experiment says."""
    rollout = spec.rollout
    return Collector(
        prompts=prompts,
        generator=generator,
        verifier=verifier,
        shape=reward_shape(spec),
        ranks=ranks,
        sampling=Sampling(rollout.temperature, rollout.top_p, rollout.top_k, rollout.max_tokens),
        seed=spec.seed,
        problems=rollout.problems_per_step,
        group_size=rollout.group_size,
        max_rounds=rollout.dynamic_sampling.max_rounds if rollout.dynamic_sampling else None,
    )


def reward_shape(spec: ExperimentSpec) -> Shape:
    """From verdicts to rewards, as this experiment says."""
    reward, max_tokens = spec.reward, spec.rollout.max_tokens

    def shape(verdicts: Sequence[Verdict], rollouts: Sequence[Rollout]) -> tuple[float, ...]:
        return shaped_rewards(
            verdicts,
            [len(each.given_ids) + len(each.token_ids_T) for each in rollouts],
            correct=reward.correct,
            incorrect=reward.incorrect,
            overlong=reward.overlong,
            max_tokens=max_tokens,
        )

    return shape
