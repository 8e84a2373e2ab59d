"""A trainer that is a plain model, and questions to ask a server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.models import load_model, load_tokenizer
from steerctl.engine.vllm.endpoint import Endpoint
from steerctl.engine.vllm.generator import ServedGenerator
from steerctl.entropy.stats import stats_from_logits
from steerctl.run.parity import Parity
from steerctl.spec.experiment import PolicySpec
from steerctl.spec.generator import VllmGenerator
from steerctl.tensors import scatter_rows
from steerctl.types import Message, Problem, Request, Sampling, TokenStats

TEMPERATURE = 0.8
SAMPLING = Sampling(temperature=TEMPERATURE, top_p=1.0, top_k=0, max_tokens=24)
TOLERANCE = 1e-4


class Trainer:
    """As much of a policy as a push and its check need: one process, a plain model."""

    rank, world_size = 0, 1

    def __init__(self, spec: PolicySpec) -> None:
        self.model = load_model(spec, seed=3)
        self.planted: dict[str, torch.Tensor] = {}

    def all_gather(self, value):
        return [value]

    def weights(self):
        yield from self.model.named_parameters()

    def weights_as_pushed(self):
        """With what a fault would put in their place."""
        for name, value in self.weights():
            yield name, self.planted.get(name, value)

    @torch.no_grad()
    def train(self, seed: int, scale: float = 0.02) -> None:
        """Every parameter moves."""
        generator = torch.Generator().manual_seed(seed)
        for value in self.model.parameters():
            value.add_(scale * torch.randn(value.shape, generator=generator))

    @torch.no_grad()
    def measure(self, batch) -> TokenStats:
        mask_BT = batch.loss_mask_BT
        logits_NV = self.model(batch.input_ids_BT).logits[mask_BT].float() / TEMPERATURE
        rows = stats_from_logits(logits_NV, batch.target_ids_BT[mask_BT])
        found = (rows.logprobs_N, rows.entropy_N, rows.mean_score_N, rows.collision_N)
        return TokenStats(*(scatter_rows(row, mask_BT) for row in found))

    @torch.no_grad()
    def largest_difference(self, requests, groups) -> float:
        """Between the log-probabilities of the answers and this model's."""
        worst = 0.0
        for request, rollouts in zip(requests, groups, strict=True):
            for rollout in rollouts:
                start = len(request.prompt_ids)
                ids = torch.tensor([*request.prompt_ids, *rollout.token_ids_T.tolist()])
                logits = self.model(ids[None, :-1]).logits[0, start - 1 :].float() / TEMPERATURE
                own = logits.log_softmax(-1).gather(1, ids[start:, None])[:, 0]
                worst = max(worst, float((own - torch.from_numpy(rollout.logprobs_T)).abs().max()))
        return worst


def questions(tokenizer, count: int = 6, samples: int = 4) -> list[Request]:
    texts = [f"{3 * i + 2}+{i + 11}=" for i in range(count)]
    return [
        Request(f"q/{i}", tuple(tokenizer.encode(text)), tuple(2**62 + 100 * i + k for k in range(samples)))
        for i, text in enumerate(texts)
    ]


def open_generator(policy: PolicySpec, trainer: Trainer, logs: Path | None, **changes) -> ServedGenerator:
    settings = {"startup_timeout": 240.0, "request_timeout": 60.0, "cpu_threads": 1, **changes}
    return ServedGenerator(
        VllmGenerator(**settings), policy, load_tokenizer(policy), trainer, longest=64, seed=1, logs=logs
    )


def parity_of(generator: ServedGenerator, trainer: Trainer, tokenizer, tokens: int = 96) -> Parity:
    requests = questions(tokenizer)
    problems = [Problem(each.problem_id, (Message("user", "?"),), "0", "test") for each in requests]
    return Parity(
        generator=generator,
        policy=trainer,
        problems=PreparedProblems(problems, [each.prompt_ids for each in requests]),
        sampling=SAMPLING,
        seed=1,
        tokens=tokens,
        tolerance=TOLERANCE,
        micro_batch_tokens=4096,
        device="cpu",
    )


def same(first, second) -> bool:
    """Equal tokens, log-probabilities up to the rounding of batched products."""
    pairs = [(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)]
    return all(
        a.token_ids_T.tolist() == b.token_ids_T.tolist()
        and abs(a.logprobs_T - b.logprobs_T).max() < 1e-5
        and (a.text, a.finish, a.seed) == (b.text, b.finish, b.seed)
        for a, b in pairs
    )


def strike(endpoint: Endpoint, number: signal.Signals) -> None:
    """Send a signal to a server and all its processes, the guardian aside."""
    group = endpoint.look().pid
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == group:
            continue
        try:
            same_group = os.getpgid(int(entry.name)) == group
        except ProcessLookupError:
            continue
        if same_group:
            os.kill(int(entry.name), number)
