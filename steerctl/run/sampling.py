"""What every command that samples without training shares: a generator with weights, and a file filled in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.frozen import Alone, FrozenPolicy
from steerctl.engine.origin import Engine
from steerctl.engine.ranks import resolve_device
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.protocols import Generator
from steerctl.run.collecting import open_generator, parity_check
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.generator import VllmGenerator
from steerctl.store.samples import SampleFile
from steerctl.types import RolloutGroup

WAVES = 4
"""Responses of a part, in multiples of those that vLLM servers have in flight."""

Source = Callable[[range], Sequence[RolloutGroup]]
"""Positions -> their groups, sampled or read, and judged."""
Keep = Callable[[Sequence[RolloutGroup], int], Any]
"""Groups and their first position -> the arrow table of a part."""


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


@dataclass(frozen=True, slots=True)
class Sampler:
    """A generator that has the experiment's weights; `policy` only where it was needed, or asked for."""

    generator: Generator
    policy: FrozenPolicy | None
    device: torch.device


@contextmanager
def open_sampler(
    spec: ExperimentSpec,
    tokenizer: Tokenizer,
    prompts: PreparedProblems,
    shown: SamplingDisplay,
    *,
    logs: Path,
    engine: Engine,
    measured: bool = False,
) -> Iterator[Sampler]:
    """A generator with the weights of the experiment's policy; servers must agree with the policy on `prompts`.

    measured  the policy itself is wanted too
    """
    device = torch.device(resolve_device(spec.engine.device))
    generator = open_generator(spec, tokenizer, Alone(), device, on_tokens=shown.tokens, logs=logs)
    with closing(generator):
        policy = None
        served = isinstance(generator, ServedGenerator)
        if served or measured:
            policy = FrozenPolicy(spec.policy, seed=spec.seed, temperature=spec.rollout.temperature, device=device)
        if served and policy is not None:
            shown.note(f"{engine.name} {engine.version}: getting ready")
            generator.load_weights(policy.weights(), 0)
            parity = parity_check(spec, generator, policy, device, prompts)
            if parity is not None:
                parity.check(0)
        yield Sampler(generator, policy if measured else None, device)


def fill(file: SampleFile | None, positions: range, chunk: int, source: Source, keep: Keep) -> Iterator[int]:
    """Every part that is left, `chunk` groups at a time; yields how many positions are done after each.

    file  None on a rank that does not write: it takes part in `source` only
    """
    for first in positions[::chunk]:
        part = range(first, min(first + chunk, positions.stop))
        groups = source(part)
        if file is not None:
            file.add(keep(groups, first), len(groups))
        yield part.stop


def busy_chunk(spec: ExperimentSpec, group_size: int) -> int:
    """Problems of a part that keep the generator busy."""
    generator = spec.rollout.generator
    if isinstance(generator, VllmGenerator):
        busy = WAVES * generator.max_in_flight * max(len(generator.urls), generator.servers)
    else:
        busy = generator.max_sequences
    return max(1, busy // group_size)


def constants(
    spec: ExperimentSpec, engine: Engine, model_hash: str, fingerprint: str, *, first: int, laps: Mapping[str, float]
) -> dict[str, Any]:
    """Columns that are alike in every row of a part."""
    rollout = spec.rollout
    return {
        "temperature": rollout.temperature,
        "top_p": rollout.top_p,
        "top_k": rollout.top_k,
        "engine": engine.name,
        "engine_version": engine.version,
        "model": spec.policy.model,
        "model_hash": model_hash,
        "fingerprint": fingerprint,
        "chunk": first,
        "generate_seconds": laps.get("generate", 0.0),
        "verify_seconds": laps.get("verify", 0.0),
    }
