"""Where the seconds of a step go, measured around the protocols so that the step itself knows no clock."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from steerctl.protocols import Generator, Policy, Verifier
from steerctl.types import (
    Gradient,
    Need,
    OptimizerReport,
    Problem,
    Request,
    Rollout,
    Sampling,
    Statistic,
    TokenBatch,
    TokenStats,
    Verdict,
)


class Clock:
    """Seconds by name since the last lap."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def lap(self) -> dict[str, float]:
        """The seconds so far, by name; starts anew."""
        seconds = dict(self._seconds)
        self._seconds.clear()
        return seconds


class TimedGenerator:
    """A generator whose sampling counts as `generate` and whose new weights count as `push`."""

    def __init__(self, inner: Generator, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """As the inner generator."""
        with self._clock("generate"):
            return self._inner.generate(requests, sampling)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """As the inner generator; gathering the weights is part of the push."""
        with self._clock("push"):
            self._inner.load_weights(weights, version)

    def close(self) -> None:
        """As the inner generator."""
        self._inner.close()


class TimedVerifier:
    """A verifier whose judging counts as `verify`."""

    def __init__(self, inner: Verifier, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """As the inner verifier."""
        with self._clock("verify"):
            return self._inner.verify(pairs)

    def close(self) -> None:
        """As the inner verifier."""
        self._inner.close()


class TimedPolicy:
    """A policy whose passes with a graph count as `update` and those without as `measure`."""

    def __init__(self, inner: Policy, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    @property
    def rank(self) -> int:
        """As the inner policy."""
        return self._inner.rank

    @property
    def world_size(self) -> int:
        """As the inner policy."""
        return self._inner.world_size

    def all_gather(self, value: Any) -> list[Any]:  # noqa: ANN401 (any picklable value)
        """As the inner policy; waiting for the slowest rank counts as `wait`."""
        with self._clock("wait"):
            return self._inner.all_gather(value)

    def forward(self, batch: TokenBatch, needs: frozenset[Need]) -> TokenStats:
        """As the inner policy."""
        with self._clock("update"):
            return self._inner.forward(batch, needs)

    def measure(self, batch: TokenBatch) -> TokenStats:
        """As the inner policy."""
        with self._clock("measure"):
            return self._inner.measure(batch)

    def reference_logprobs(self, batch: TokenBatch) -> Tensor:
        """As the inner policy."""
        with self._clock("measure"):
            return self._inner.reference_logprobs(batch)

    def backward(self, loss: Tensor) -> None:
        """As the inner policy."""
        with self._clock("update"):
            self._inner.backward(loss)

    def step(self) -> OptimizerReport:
        """As the inner policy."""
        with self._clock("update"):
            return self._inner.step()

    def min_p_logprobs(self, batch: TokenBatch, min_p: float) -> Tensor:
        """As the inner policy."""
        with self._clock("measure"):
            return self._inner.min_p_logprobs(batch, min_p)

    def take_gradient(self) -> Gradient:
        """As the inner policy."""
        with self._clock("update"):
            return self._inner.take_gradient()

    def preconditioned(self, gradient: Gradient, *others: Gradient) -> Gradient:
        """As the inner policy."""
        with self._clock("update"):
            return self._inner.preconditioned(gradient, *others)

    def product(self, left: Gradient, right: Gradient) -> float:
        """As the inner policy."""
        with self._clock("update"):
            return self._inner.product(left, right)

    def slopes(
        self, direction: Gradient, batches: Sequence[TokenBatch], *, of: Statistic = "logprobs", back: float = 0.0
    ) -> list[Tensor]:
        """As the inner policy."""
        with self._clock("measure"):
            return self._inner.slopes(direction, batches, of=of, back=back)

    def mark(self) -> Gradient:
        """As the inner policy."""
        return self._inner.mark()

    def moved(self, mark: Gradient) -> Gradient:
        """As the inner policy."""
        return self._inner.moved(mark)

    @property
    def learning_rate(self) -> float:
        """As the inner policy."""
        return self._inner.learning_rate

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """As the inner policy."""
        return self._inner.weights()
