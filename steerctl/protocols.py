"""The three things a test may fake: Policy, Generator, Verifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

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


class Ranks(Protocol):
    """The processes that train together. Every method is a collective: all ranks call it in the same order."""

    @property
    def rank(self) -> int:
        """This process, 0 to world_size - 1."""

    @property
    def world_size(self) -> int:
        """How many processes."""

    def all_gather(self, value: Any) -> list[Any]:  # noqa: ANN401 (any picklable value)
        """The value of every rank, in rank order, on every rank."""


class MeasuredPolicy(Ranks, Protocol):
    """A model whose statistics and weights can be had; nothing of it is trained."""

    def measure(self, batch: TokenBatch) -> TokenStats:
        """Statistics at every target position, without a graph."""

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter in full, one at a time, by its Hugging Face name; all ranks must exhaust it together."""


class Policy(MeasuredPolicy, Protocol):
    """The model being trained; `measure` is bit-equal to `forward` at equal weights."""

    def forward(self, batch: TokenBatch, needs: frozenset[Need]) -> TokenStats:
        """Statistics at every target position with a graph for `backward`."""

    def reference_logprobs(self, batch: TokenBatch) -> Tensor:
        """Log-probabilities log π_ref(target) [B, T] of the frozen reference policy."""

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradient of `loss`; gradients are summed (not averaged) over micro-batches and ranks."""

    def step(self) -> OptimizerReport:
        """Clip, apply and clear the accumulated gradient. Raises NonFiniteError, weights untouched, if not finite."""

    def min_p_logprobs(self, batch: TokenBatch, min_p: float) -> Tensor:
        """The log π̃(target) [B, T] under the min-p proxy of the current policy; −infinity where it drops the target."""

    def take_gradient(self) -> Gradient:
        """The accumulated gradient, before clipping, taken away: as if nothing had been accumulated. Collective."""

    def preconditioned(self, gradient: Gradient, *others: Gradient) -> Gradient:
        """P·gradient, P the optimiser's diagonal preconditioner in the coming update, were these its gradients."""

    def product(self, left: Gradient, right: Gradient) -> float:
        """Their inner product over all parameters, alike on every rank. Collective."""

    def slopes(
        self, direction: Gradient, batches: Sequence[TokenBatch], *, of: Statistic = "logprobs", back: float = 0.0
    ) -> list[Tensor]:
        """Derivative of each log π(target), or entropy, [B, T] along `direction`, weights left as they are. Collective.

        back  taken at the weights less this much of `direction`: 1 where that is what the last update changed
        """

    def mark(self) -> Gradient:
        """The float32 weights as they are now, copied."""

    def moved(self, mark: Gradient) -> Gradient:
        """How far the weights have come since `mark`, which is spent."""

    @property
    def learning_rate(self) -> float:
        """The rate of the coming update."""


class Generator(Protocol):
    """What samples responses."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """One tuple of rollouts per request, one rollout per seed, in order."""

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take over new weights; rollouts from now on carry `version`."""

    def close(self) -> None:
        """Free whatever it holds; may be called twice."""


class Verifier(Protocol):
    """What decides whether a response is right."""

    def verify(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """One verdict per (problem, response text), in order; never raises for what a response contains."""

    def close(self) -> None:
        """Free whatever it holds; may be called twice."""
