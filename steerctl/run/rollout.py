"""One `steerctl rollout`: sample, judge, keep; killed at any moment, the same command goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from steerctl.engine.frozen import Alone, FrozenPolicy
from steerctl.engine.ranks import resolve_device
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.errors import Interrupted
from steerctl.protocols import Generator
from steerctl.reward.math_verify import MathVerifier
from steerctl.rollout.collate import collate
from steerctl.run.build import group_collector, open_generator, parity_check
from steerctl.run.rollout_plan import STEPS, Plan, RolloutRequest, make_plan
from steerctl.run.timing import Clock, TimedGenerator, TimedVerifier
from steerctl.store.rollouts import RolloutTable, token_rows
from steerctl.store.sample_rows import sample_table
from steerctl.store.samples import SampleFile
from steerctl.types import RolloutGroup


class SamplingDisplay(Protocol):
    """Told how sampling goes: start, then tokens and samples any number of times, notes in between, close."""

    def start(self, title: str, done: int, total: int, longest: int) -> None:
        """So many of `total` responses, of at most `longest` tokens each, are there already."""

    def tokens(self, count: int) -> None:
        """So many more tokens were sampled."""

    def samples(self, done: int) -> None:
        """So many responses are on disk."""

    def note(self, message: str) -> None:
        """One line the user should see."""

    def close(self) -> None:
        """Let go of the terminal; may be called twice."""


def sample_rollouts(request: RolloutRequest, display: Callable[[], SamplingDisplay]) -> Path:
    """The finished file; if it is there already, nothing is sampled.

    Raises:
        RunFolderError: the file, or what an interrupted command left of it, is of another experiment or model.
        Interrupted: on Ctrl-C; what is sampled is kept.
    """
    plan = make_plan(request)
    path = request.out or Path(plan.spec.output) / f"{plan.spec.name}-{request.split}.parquet"
    with SampleFile(path, plan.origin(), overwrite=request.overwrite) as file:
        shown = display()
        if file.complete:
            shown.note(f"{path} is complete; nothing is sampled")
            return path
        try:
            if file.positions < plan.total:
                _sample(plan, file, shown)
            file.finish()
        except KeyboardInterrupt:
            kept = f"{file.positions} of {plan.total} problems are kept in {file.parts}"
            raise Interrupted(f"stopped; {kept}; the same command goes on") from None
        finally:
            shown.close()
    return path


def _sample(plan: Plan, file: SampleFile, shown: SamplingDisplay) -> None:
    """Every part that is left."""
    spec, size, clock = plan.spec, plan.group_size, Clock()
    device = torch.device(resolve_device(spec.engine.device))
    with ExitStack() as opened:
        verifier = opened.enter_context(closing(spec.reward.verifier.open()))
        if isinstance(verifier, MathVerifier):
            verifier.check_golds(plan.asked())
        generator = open_generator(spec, plan.tokenizer, Alone(), device, on_tokens=shown.tokens, logs=file.servers)
        opened.enter_context(closing(generator))
        policy = _policy(plan, generator, device, shown)
        timed = (TimedGenerator(generator, clock), TimedVerifier(verifier, clock))
        sampler = replace(group_collector(spec, plan.prompts, *timed, Alone()), group_size=size)
        title = f"{spec.name}: {plan.engine.name} {plan.engine.version}, {plan.request.split}"
        shown.start(title, file.positions * size, plan.total * size, spec.rollout.max_tokens)
        clock.lap()
        while file.positions < plan.total:
            first = file.positions
            groups = sampler.sample(range(first, min(first + plan.chunk, plan.total)), STEPS[plan.request.split])
            laps = clock.lap()
            tokens = _token_columns(groups, policy, spec.engine.micro_batch_tokens) if policy is not None else {}
            constants = _constants(plan, file.fingerprint)
            constants |= {"chunk": first, "generate_seconds": laps["generate"], "verify_seconds": laps["verify"]}
            file.add(sample_table(RolloutTable.of(groups, tokens=tokens), first, size, constants), len(groups))
            shown.samples(file.positions * size)


def _policy(plan: Plan, generator: Generator, device: torch.device, shown: SamplingDisplay) -> FrozenPolicy | None:
    """The policy itself, if entropies are asked for; servers are given its weights, and must agree with it."""
    spec = plan.spec
    served = isinstance(generator, ServedGenerator)
    if not (served or plan.request.entropies):
        return None
    policy = FrozenPolicy(spec.policy, seed=spec.seed, temperature=spec.rollout.temperature, device=device)
    if served:
        shown.note(f"{plan.engine.name} {plan.engine.version}: getting ready")
        generator.load_weights(policy.weights(), 0)
        parity = parity_check(spec, generator, policy, device, plan.prompts)
        if parity is not None:
            parity.check(0)
    return policy if plan.request.entropies else None


def _token_columns(
    groups: Sequence[RolloutGroup], policy: FrozenPolicy, micro_batch_tokens: int
) -> dict[str, list[NDArray[np.float32]]]:
    """The policy's own log-probability and entropy at every sampled token."""
    size = len(groups[0].rollouts)
    (update,) = collate(
        groups,
        torch.zeros(len(groups), size),
        updates=1,
        rank=policy.rank,
        ranks=policy.world_size,
        micro_batch_tokens=micro_batch_tokens,
        device=str(policy.device),
    )
    measured = [(batch, policy.measure(batch)) for batch in update.micro_batches]
    rows = len(groups) * size
    return {
        "old_logprobs": token_rows(((batch, stats.logprobs_BT) for batch, stats in measured), rows),
        "entropy": token_rows(((batch, stats.entropy_BT) for batch, stats in measured), rows),
    }


def _constants(plan: Plan, fingerprint: str) -> dict[str, Any]:
    """Columns that are alike in every row of the file."""
    rollout = plan.spec.rollout
    return {
        "temperature": rollout.temperature,
        "top_p": rollout.top_p,
        "top_k": rollout.top_k,
        "engine": plan.engine.name,
        "engine_version": plan.engine.version,
        "model": plan.spec.policy.model,
        "model_hash": plan.model_hash,
        "fingerprint": fingerprint,
    }
