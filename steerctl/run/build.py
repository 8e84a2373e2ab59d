"""From the spec to everything a run works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from steerctl.data.templates import Tokenizer
from steerctl.engine.models import load_tokenizer
from steerctl.engine.policy import DeepSpeedPolicy
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.protocols import Generator, Verifier
from steerctl.rollout.ahead import SamplingAhead
from steerctl.rollout.collect import Collector, GroupSource
from steerctl.rollout.replay import NoGenerator
from steerctl.run.asides import branching, probe, teacher
from steerctl.run.collecting import group_collector, open_generator, open_judge, parity_check, prepared_problems
from steerctl.run.colocate import RestAfter
from steerctl.run.evaluate_training import ScheduledEvaluation
from steerctl.run.parity import Parity
from steerctl.run.progress import SamplingProgress
from steerctl.run.replay import open_replay, open_steps, vocabulary_of
from steerctl.run.reporter import Reporter
from steerctl.run.step import Parts
from steerctl.run.timing import Clock, TimedGenerator, TimedPolicy, TimedVerifier
from steerctl.spec.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True)
class Session:
    """A run's engines and settings on this rank.

    policy      the engine itself, for saving and exporting; `parts.policy` is the same with a clock around it
    sampler     the generator itself, past the clock
    validation  samples the validation problems; None without them
    evaluation  the benchmarks; None without them
    verifier    judges; closed with the session
    parity      compares servers with the trainer after each push; None with the embedded generator
    dropped     rows of the training data left out, by reason
    """

    spec: ExperimentSpec
    parts: Parts
    policy: DeepSpeedPolicy
    sampler: Generator
    tokenizer: Tokenizer
    validation: Collector | None
    evaluation: ScheduledEvaluation | None
    verifier: Verifier
    parity: Parity | None
    clock: Clock
    progress: SamplingProgress
    dropped: Mapping[str, int]
    num_problems: int

    def text(self, token: int) -> str:
        """A token decoded alone."""
        return self.tokenizer.decode([token])

    def close(self) -> None:
        """Free generator, verifier and policy."""
        self.parts.generator.close()
        self.verifier.close()
        if self.evaluation is not None:
            self.evaluation.close()
        self.policy.close()


def build(
    spec: ExperimentSpec,
    reporter: Reporter,
    logs: Path | None = None,
    saved: Path | None = None,
    steps: Sequence[int] | None = None,
) -> Session:
    """Load data, tokenizer, policy and generator; collective over the ranks. Cheap mistakes are found first.

    logs: folder for the logs of servers; None on every rank but the first.
    saved: rollouts to replay (a file or a run folder); then only validation samples, and without it nothing does.
    steps: of that run, which to do again under their own numbers; None: its rollouts from the first on.
    """
    clock = Clock()
    tokenizer = load_tokenizer(spec.policy)
    train = prepared_problems(spec, spec.data.train, tokenizer)
    verifier = open_judge(spec.reward.verifier, train.problems)
    evaluation = ScheduledEvaluation.of(spec, tokenizer)
    policy = DeepSpeedPolicy(
        spec.policy, spec.optim, spec.engine, temperature=spec.rollout.temperature, seed=spec.seed,
        with_reference=any("reference" in each.needs for each in spec.algorithm.interventions),
    )  # fmt: skip
    progress = SamplingProgress(
        reporter, spec.rollout.sequences_per_step * spec.rollout.max_tokens // policy.world_size
    )
    sampler: Generator = NoGenerator()
    if saved is None or _validates(spec) or evaluation is not None:
        longest = evaluation.longest if evaluation is not None else 0
        sampler = open_generator(spec, tokenizer, policy, policy.device, on_tokens=progress, logs=logs, longest=longest)
    generator = TimedGenerator(sampler, clock)
    timed = TimedPolicy(policy, clock)
    drawn = branching(spec, generator, timed, tokenizer, str(policy.device))
    collector = group_collector(spec, train, drawn, TimedVerifier(verifier, clock), timed)
    parts = Parts(
        collector=_source(spec, collector, sampler, clock, vocabulary_of(policy), saved=saved, steps=steps),
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
        correction=spec.rollout.correction,
        teacher=teacher(spec, train, tokenizer, str(policy.device)),
        probe=probe(spec, policy, clock),
    )
    # Validation has its own line in the timings, so its sampling and judging go past the clock.
    validation = _validation(spec, tokenizer, replace(collector, generator=sampler, verifier=verifier, ranks=policy))
    return Session(
        spec, parts, policy, sampler, tokenizer, validation, evaluation, verifier,
        parity_check(spec, sampler, policy, policy.device, train), clock, progress, train.dropped, len(train.problems),
    )  # fmt: skip


def _source(
    spec: ExperimentSpec,
    collector: Collector,
    sampler: Generator,
    clock: Clock,
    vocabulary: int,
    *,
    saved: Path | None,
    steps: Sequence[int] | None,
) -> GroupSource:
    """Sampling, saved rollouts from the first on, or some steps of a run under their own numbers."""
    if saved is None:
        return _sampling_source(spec, collector, sampler, clock)
    if steps is None:
        return open_replay(saved, spec, collector, vocabulary, clock)
    return open_steps(saved, steps, spec, collector, vocabulary)


def _sampling_source(spec: ExperimentSpec, collector: Collector, sampler: Generator, clock: Clock) -> GroupSource:
    """The collector itself, a step ahead of the training, or with servers that sleep after each step's sampling."""
    if spec.rollout.ahead:
        aside = isinstance(sampler, ServedGenerator)
        return SamplingAhead(collector, aside=aside, waiting=partial(clock, "ahead"))
    if isinstance(sampler, ServedGenerator) and sampler.sleeps:
        return RestAfter(collector, sampler)
    return collector


def _validation(spec: ExperimentSpec, tokenizer: Tokenizer, train: Collector) -> Collector | None:
    if spec.data.validation is None or not _validates(spec):
        return None
    prompts = prepared_problems(spec, spec.data.validation, tokenizer)
    return replace(
        train, prompts=prompts, problems=len(prompts.problems), group_size=spec.validation_samples, max_rounds=None
    )


def _validates(spec: ExperimentSpec) -> bool:
    return spec.data.validation is not None and spec.validate_every > 0
