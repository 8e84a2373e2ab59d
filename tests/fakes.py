"""Stand-ins for the three protocols; they serve to test the loop's own logic and nothing else."""

from __future__ import annotations

import numpy as np
import torch

from steerctl.entropy.stats import stats_from_logits
from steerctl.errors import NonFiniteError
from steerctl.tensors import scatter_rows
from steerctl.types import Message, OptimizerReport, Problem, Rollout, TokenStats, Verdict

VOCABULARY = 12


class FakePolicy:
    """A table of logits indexed by the previous token, trained by plain gradient descent."""

    rank = 0
    world_size = 1

    def __init__(self, seed: int = 0, lr: float = 0.5) -> None:
        torch.manual_seed(seed)
        self.table = torch.randn(VOCABULARY, VOCABULARY, dtype=torch.float64, requires_grad=True)
        self.reference = self.table.detach().clone()
        self.lr = lr
        self.calls: list[str] = []

    def all_gather(self, value):
        return [value]

    def _stats(self, table, batch):
        logits_NV = table[batch.input_ids_BT[batch.loss_mask_BT]]
        rows = stats_from_logits(logits_NV, batch.target_ids_BT[batch.loss_mask_BT])
        mask = batch.loss_mask_BT
        return TokenStats(
            *(scatter_rows(r, mask) for r in (rows.logprobs_N, rows.entropy_N, rows.mean_score_N, rows.collision_N))
        )

    def forward(self, batch, needs):
        self.calls.append("forward")
        return self._stats(self.table, batch)

    def measure(self, batch):
        self.calls.append("measure")
        with torch.no_grad():
            return self._stats(self.table, batch)

    def reference_logprobs(self, batch):
        return self._stats(self.reference, batch).logprobs_BT

    def backward(self, loss):
        self.calls.append("backward")
        loss.backward()

    def step(self):
        self.calls.append("step")
        if not torch.isfinite(self.table.grad).all():
            self.table.grad = None
            raise NonFiniteError("micro-batch 1: the gradient is not finite")
        norm = float(self.table.grad.norm())
        with torch.no_grad():
            self.table -= self.lr * self.table.grad
        self.table.grad = None
        return OptimizerReport(norm, self.lr)

    def min_p_logprobs(self, batch, min_p):
        self.calls.append("min_p_logprobs")
        logp = self.table.detach()[batch.input_ids_BT].log_softmax(dim=-1)
        kept = logp.masked_fill(logp < logp.amax(dim=-1, keepdim=True) + np.log(min_p), -torch.inf).log_softmax(dim=-1)
        chosen_BT = kept.gather(-1, batch.target_ids_BT[..., None])[..., 0]
        return torch.where(batch.loss_mask_BT, chosen_BT, 0.0)

    def take_gradient(self):
        self.calls.append("take_gradient")
        gradient, self.table.grad = self.table.grad, None
        return (gradient,)

    def preconditioned(self, gradient, *others):
        return gradient

    def product(self, left, right):
        return float((left[0] * right[0]).sum())

    def slopes(self, direction, batches, *, of="logprobs", back=0.0):
        self.calls.append("slopes")
        found = []
        for batch in batches:

            def statistic(table, batch=batch):
                return getattr(self._stats(table, batch), f"{of}_BT")

            start = self.table.detach() - back * direction[0]
            found.append(torch.func.jvp(statistic, (start,), direction)[1])
        return found

    def mark(self):
        return (self.table.detach().clone(),)

    def moved(self, mark):
        return (self.table.detach() - mark[0],)

    @property
    def learning_rate(self):
        return self.lr

    def weights(self):
        yield "table", self.table.detach()


class FakeGenerator:
    """Random tokens from the seed alone; remembers what was pushed."""

    def __init__(self) -> None:
        self.version = 0
        self.pushed: list[dict[str, torch.Tensor]] = []

    def generate(self, requests, sampling):
        return [tuple(self._one(seed, sampling.max_tokens) for seed in request.seeds) for request in requests]

    def _one(self, seed, longest):
        rng = np.random.Generator(np.random.Philox(seed))
        length = int(rng.integers(1, longest + 1))
        ids = rng.integers(0, VOCABULARY, length).astype(np.int32)
        logprobs = np.full(length, -np.log(VOCABULARY), dtype=np.float32)
        text = " ".join(map(str, ids))
        return Rollout(ids, logprobs, text, "stop" if length < longest else "length", seed, self.version)

    def load_weights(self, weights, version):
        self.pushed.append({name: value.clone() for name, value in weights})
        self.version = version

    def close(self):
        pass


class FakeVerifier:
    """Right if the first token equals the gold."""

    def verify(self, pairs):
        return [
            Verdict(float(text.split()[0] == problem.gold), text.split()[0], "first token") for problem, text in pairs
        ]

    def close(self):
        pass


def problems(count: int) -> list[Problem]:
    return [Problem(f"fake/{i}", (Message("user", f"{i}?"),), str(i % VOCABULARY), "fake") for i in range(count)]
