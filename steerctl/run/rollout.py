"""One `steerctl rollout`: sample, judge, keep; killed at any moment, the same command goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from steerctl.engine.frozen import Alone, FrozenPolicy
from steerctl.errors import Interrupted
from steerctl.rollout.collate import collate
from steerctl.run.collecting import group_collector, open_judge
from steerctl.run.rollout_plan import STEPS, Plan, RolloutRequest, make_plan
from steerctl.run.sampling import SamplingDisplay, constants, fill, open_sampler
from steerctl.run.timing import Clock, TimedGenerator, TimedVerifier
from steerctl.store.rollouts import RolloutTable, token_rows
from steerctl.store.sample_rows import sample_table
from steerctl.store.samples import SampleFile
from steerctl.types import RolloutGroup


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
    with ExitStack() as opened:
        verifier = opened.enter_context(closing(open_judge(spec.reward.verifier, plan.asked())))
        sampler = opened.enter_context(
            open_sampler(
                spec, plan.tokenizer, plan.prompts, shown,
                logs=file.servers, engine=plan.engine, measured=plan.request.entropies,
            )
        )  # fmt: skip
        timed = (TimedGenerator(sampler.generator, clock), TimedVerifier(verifier, clock))
        collector = replace(group_collector(spec, plan.prompts, *timed, Alone()), group_size=size)

        def keep(groups: Sequence[RolloutGroup], first: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
            laps = clock.lap()
            policy = sampler.policy
            tokens = _token_columns(groups, policy, spec.engine.micro_batch_tokens) if policy is not None else {}
            alike = constants(spec, plan.engine, plan.model_hash, file.fingerprint, first=first, laps=laps)
            return sample_table(RolloutTable.of(groups, tokens=tokens), first, size, alike)

        title = f"{spec.name}: {plan.engine.name} {plan.engine.version}, {plan.request.split}"
        shown.start(title, file.positions * size, plan.total * size, spec.rollout.max_tokens)
        clock.lap()
        left, step = range(file.positions, plan.total), STEPS[plan.request.split]
        for done in fill(file, left, plan.chunk, lambda positions: collector.sample(positions, step), keep):
            shown.samples(done * size)


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
