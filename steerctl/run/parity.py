"""After every push: do the servers have the trainer's weights? Measured, because a wrong push raises no error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.vllm.blame import Answer
from steerctl.errors import EngineError
from steerctl.protocols import MeasuredPolicy
from steerctl.rollout.collate import collate
from steerctl.rollout.seeds import rollout_seed
from steerctl.types import Request, Rollout, RolloutGroup, Sampling

TOKENS_EACH = 32
"""Longest probe response: a wrong weight shows at the first tokens."""


class Probed(Protocol):
    """A generator whose servers can be asked one by one."""

    def probe(self, requests: Sequence[Request], sampling: Sampling) -> list[list[tuple[Rollout, ...]]]:
        """What every server answers to the same requests."""

    def explain(
        self, weights: Iterable[tuple[str, Tensor]], answers: Sequence[Answer], temperature: float, tolerance: float
    ) -> str:
        """Which parameters are wrong in a server that answers like this; collective."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Compares log-probabilities of freshly sampled tokens, as a server reported them, with the trainer's.

    The probe is sampled, not scored: vLLM applies no temperature to the log-probabilities of prompt tokens, so only a
    sampled token shows the distribution that training sees. Other training problems are asked after each push.

    sampling  of the whole distribution (top_p 1, top_k 0): the trainer's log-probabilities know no cut
    """

    generator: Probed
    policy: MeasuredPolicy
    problems: PreparedProblems
    sampling: Sampling
    seed: int
    tokens: int
    tolerance: float
    micro_batch_tokens: int
    device: str

    def check(self, version: int) -> dict[str, float]:
        """`mismatch/parity/max` of the weights with this version; collective.

        Raises:
            EngineError: a server differs by more than the tolerance; the text says in which parameters, if that can be
                told.
        """
        groups = self._sampled(version)
        own = self._largest(groups)
        worst = max(self.policy.all_gather(own))
        if not worst <= self.tolerance:
            answers = [_answer(group, rollout) for group in groups for rollout in group.rollouts]
            told = self.generator.explain(self.policy.weights(), answers, self.sampling.temperature, self.tolerance)
            why = self.policy.all_gather(told)[0]
            raise EngineError(
                f"after the push of weights {version} a server's log-probabilities differ from the trainer's by"
                f" {worst:.3g} nats, rollout.generator.parity_tolerance is {self.tolerance:g}: {why}"
            )
        return {"mismatch/parity/max": worst}

    def _sampled(self, version: int) -> list[RolloutGroup]:
        """One group per request and server, alike on every rank; rank 0 asks."""
        each = min(TOKENS_EACH, self.sampling.max_tokens)
        count = -(-self.tokens // each)
        places = [(version * count + index) % len(self.problems.problems) for index in range(count)]
        requests = [
            Request(self.problems.problems[place].id, self.problems.prompt_ids[place], (self._seed(version, index),))
            for index, place in enumerate(places)
        ]
        sampling = replace(self.sampling, max_tokens=each)
        asked = self.generator.probe(requests, sampling) if self.policy.rank == 0 else None
        servers: list[list[tuple[Rollout, ...]]] = self.policy.all_gather(asked)[0]
        return [
            RolloutGroup(self.problems.problems[place], request.prompt_ids, rollouts, (), (0.0,))
            for server in servers
            for place, request, rollouts in zip(places, requests, server, strict=True)
        ]

    def _seed(self, version: int, index: int) -> int:
        # No training problem has a negative position.
        return rollout_seed(self.seed, version, -1 - index, 0)

    def _largest(self, groups: Sequence[RolloutGroup]) -> float:
        """Largest difference in this rank's share; infinite if one is not a number."""
        (update,) = collate(
            groups,
            torch.zeros(len(groups), 1),
            updates=1,
            rank=self.policy.rank,
            ranks=self.policy.world_size,
            micro_batch_tokens=self.micro_batch_tokens,
            device=self.device,
        )
        worst = 0.0
        for batch in update.micro_batches:
            difference_BT = (self.policy.measure(batch).logprobs_BT - batch.rollout_logprobs_BT).abs()
            found_N = difference_BT[batch.loss_mask_BT].nan_to_num(nan=math.inf)
            worst = max(worst, float(found_N.max()) if found_N.numel() else 0.0)
        return worst


def _answer(group: RolloutGroup, rollout: Rollout) -> Answer:
    return Answer(group.prompt_ids, tuple(rollout.token_ids_T.tolist()), tuple(rollout.logprobs_T.tolist()))
