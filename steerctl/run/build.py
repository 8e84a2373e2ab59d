"""From the spec to everything a run works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from steerctl.data import Dataset
from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems, prepare
from steerctl.engine.embedded import embedded_generator
from steerctl.engine.models import load_tokenizer
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.errors import SpecError
from steerctl.protocols import Generator, Policy, Verifier
from steerctl.reward.math_verify import MathVerifier
from steerctl.reward.shape import shaped_rewards
from steerctl.rollout.collect import Collector
from steerctl.run.parity import Parity
from steerctl.run.progress import SamplingProgress
from steerctl.run.reporter import Reporter
from steerctl.run.step import Parts
from steerctl.run.timing import Clock, TimedGenerator, TimedPolicy, TimedVerifier
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.generator import VllmGenerator
from steerctl.types import Rollout, Sampling, Verdict


@dataclass(frozen=True, slots=True)
class Session:
    """A run's engines and settings on this rank.

    policy      the engine itself, for saving and exporting; `parts.policy` is the same with a clock around it
    validation  samples the validation problems; None without them
    parity      compares servers with the trainer after each push; None with the embedded generator
    dropped     rows of the training data left out, by reason
    """

    spec: ExperimentSpec
    parts: Parts
    policy: DeepSpeedPolicy
    tokenizer: Tokenizer
    validation: Collector | None
    parity: Parity | None
    clock: Clock
    progress: SamplingProgress
    dropped: Mapping[str, int]
    num_problems: int

    def close(self) -> None:
        """Free generator, verifier and policy."""
        self.parts.generator.close()
        self.parts.collector.verifier.close()
        self.policy.close()


def build(spec: ExperimentSpec, reporter: Reporter, logs: Path | None = None) -> Session:
    """Load data, tokenizer, policy and generator; collective over the ranks. Cheap mistakes are found first.

    logs: folder for the logs of servers; None on every rank but the first.
    """
    clock = Clock()
    tokenizer = load_tokenizer(spec.policy)
    train = _problems(spec, spec.data.train, tokenizer)
    verifier = spec.reward.verifier.open()
    if isinstance(verifier, MathVerifier):
        verifier.check_golds(train.problems)
    policy = DeepSpeedPolicy(
        spec.policy,
        spec.optim,
        spec.engine,
        temperature=spec.rollout.temperature,
        seed=spec.seed,
        with_reference=any("reference" in each.needs for each in spec.algorithm.interventions),
    )
    progress = SamplingProgress(
        reporter, spec.rollout.sequences_per_step * spec.rollout.max_tokens // policy.world_size
    )
    sampler = _generator(spec, tokenizer, policy, progress, logs)
    generator = TimedGenerator(sampler, clock)
    timed = TimedPolicy(policy, clock)
    collector = _collector(spec, train, generator, TimedVerifier(verifier, clock), timed)
    parts = Parts(
        collector=collector,
        policy=timed,
        generator=generator,
        advantage=spec.algorithm.advantage,
        surrogate=spec.algorithm.loss,
        reduction=spec.algorithm.reduction,
        constant_norm_length=spec.algorithm.constant_norm_length or spec.rollout.max_tokens,
        interventions=spec.algorithm.interventions,
        updates_per_step=spec.optim.updates_per_step,
        micro_batch_tokens=spec.engine.micro_batch_tokens,
        device=str(policy.device),
        entropy_after_every=spec.log.entropy_after_every,
    )
    # Validation has its own line in the timings, so its sampling and judging go past the clock.
    validation = _validation(spec, tokenizer, replace(collector, generator=sampler, verifier=verifier, ranks=policy))
    parity = _parity(spec, sampler, policy, train)
    return Session(
        spec, parts, policy, tokenizer, validation, parity, clock, progress, train.dropped, len(train.problems)
    )


def _generator(
    spec: ExperimentSpec,
    tokenizer: Tokenizer,
    policy: DeepSpeedPolicy,
    on_tokens: Callable[[int], None],
    logs: Path | None,
) -> Generator:
    generator = spec.rollout.generator
    if not isinstance(generator, VllmGenerator):
        return embedded_generator(
            spec.policy, generator, tokenizer, seed=spec.seed, device=policy.device, on_tokens=on_tokens
        )
    if spec.engine.hostfile is not None and not generator.urls:
        raise SpecError("rollout.generator: servers on several machines must be started by you; name them in urls")
    longest = spec.data.max_prompt_tokens + spec.rollout.max_tokens
    return ServedGenerator(
        generator, spec.policy, tokenizer, policy, longest=longest, seed=spec.seed, logs=logs, on_tokens=on_tokens
    )


def _parity(
    spec: ExperimentSpec, sampler: Generator, policy: DeepSpeedPolicy, problems: PreparedProblems
) -> Parity | None:
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
        device=str(policy.device),
    )


def _problems(spec: ExperimentSpec, dataset: Dataset, tokenizer: Tokenizer) -> PreparedProblems:
    return prepare(dataset.load(), tokenizer, spec.data.template, spec.data.max_prompt_tokens)


def _collector(
    spec: ExperimentSpec, prompts: PreparedProblems, generator: Generator, verifier: Verifier, policy: Policy
) -> Collector:
    rollout, reward = spec.rollout, spec.reward

    def shape(verdicts: Sequence[Verdict], rollouts: Sequence[Rollout]) -> tuple[float, ...]:
        return shaped_rewards(
            verdicts,
            [len(each.token_ids_T) for each in rollouts],
            correct=reward.correct,
            incorrect=reward.incorrect,
            overlong=reward.overlong,
            max_tokens=rollout.max_tokens,
        )

    return Collector(
        prompts=prompts,
        generator=generator,
        verifier=verifier,
        shape=shape,
        ranks=policy,
        sampling=Sampling(rollout.temperature, rollout.top_p, rollout.top_k, rollout.max_tokens),
        seed=spec.seed,
        problems=rollout.problems_per_step,
        group_size=rollout.group_size,
        max_rounds=rollout.dynamic_sampling.max_rounds if rollout.dynamic_sampling else None,
    )


def _validation(spec: ExperimentSpec, tokenizer: Tokenizer, train: Collector) -> Collector | None:
    if spec.data.validation is None or not spec.validate_every:
        return None
    prompts = _problems(spec, spec.data.validation, tokenizer)
    return replace(
        train, prompts=prompts, problems=len(prompts.problems), group_size=spec.validation_samples, max_rounds=None
    )
