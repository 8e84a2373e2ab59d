"""Softmax states of a tabular policy with one sampled token each: what its update does to the entropy, and predictions.

Three families of states, V logits each:

    llm       3 of 4 nearly certain: one token has all but 0.0007 to 0.025 of the probability (evenly in its logarithm),
              the rest is spread as rank^−¼; 1 of 4 a fork: 3 to 14 candidates, logits N(0, 4.8²), and a tail,
              logits N(0, 3.2²), with 0.04 to 0.9 of the probability (evenly in its logarithm)
    zipf      −α·log(rank), α uniform in 0.8 to 3.8
    gaussian  N(0, s²), s uniform in 0.5 to 5.5
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from steerctl.entropy.change import Means, entropy_change
from steerctl.entropy.stats import stats_from_logits

FAMILIES = ("llm", "zipf", "gaussian")
VOCABULARY = 2_000
CHUNK = 250
WEIGHTED = ("exact", "own_logit", "squared")


def draw_states(family: str, count: int, vocabulary: int, generator: torch.Generator) -> Tensor:
    """Logits [count, V] of a family above, float64."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator, dtype=torch.float64)

    if family == "zipf":
        return -between(0.8, 3.8) * log_rank(vocabulary)
    if family == "gaussian":
        return between(0.5, 5.5) * torch.randn(count, vocabulary, generator=generator, dtype=torch.float64)
    certain = -0.25 * log_rank(vocabulary).expand(count, -1)
    certain = shared(certain, torch.arange(vocabulary) > 0, between(log(0.0007), log(0.025)).exp())
    candidates = torch.randint(3, 15, (count, 1), generator=generator)
    tail = torch.arange(vocabulary) >= candidates
    noise = torch.randn(count, vocabulary, generator=generator, dtype=torch.float64)
    fork = shared(torch.where(tail, 3.2 * noise, 4.8 * noise), tail, between(log(0.04), log(0.9)).exp())
    return torch.where(torch.rand(count, 1, generator=generator) < 0.25, fork, certain)


def log_rank(vocabulary: int) -> Tensor:
    return torch.arange(1, vocabulary + 1, dtype=torch.float64).log()


def shared(logits_NV: Tensor, tail_NV: Tensor, share_N1: Tensor) -> Tensor:
    """The same logits, those of the tail shifted so that it has `share` of the probability."""
    nothing = torch.full_like(logits_NV, -torch.inf)
    inner, outer = (torch.where(tail_NV == there, logits_NV, nothing).logsumexp(-1, keepdim=True) for there in (0, 1))
    return logits_NV + tail_NV * (inner - outer + share_N1.logit())


def entropy_of(logits_NV: Tensor) -> Tensor:
    """H [N] of softmax(z), nats, from logits that may be far from normalised."""
    shares_NV = (logits_NV - logits_NV.max(dim=-1, keepdim=True).values).exp()
    total_N = shares_NV.sum(dim=-1)
    mean_N = (shares_NV * logits_NV).sum(dim=-1) / total_N
    return total_N.log() + logits_NV.max(dim=-1).values - mean_N


@dataclass(frozen=True)
class Sampled:
    """N states, each with one sampled token and coefficient w; nats.

    bend     d²H along e_a − π: the change per unit η is exact + ½·η·w²·bend + O(η²)
    changes  η to measured change per unit η, [N]
    """

    weight: Tensor
    logprobs: Tensor
    entropy: Tensor
    mean_score: Tensor
    bend: Tensor
    changes: dict[float, Tensor]

    def predictions(self, eta: float) -> dict[str, Tensor]:
        """Every form's change per unit η, [N]; only `second_order` depends on η."""
        stats = {"logprobs": self.logprobs, "entropy": self.entropy}
        means = Means(self.weight.mean(), self.logprobs.mean())
        exact, own_logit, squared = (
            entropy_change(name, weight=self.weight, mean_score=self.mean_score, **stats) for name in WEIGHTED
        )
        return {
            "exact": exact,
            "second_order": exact + 0.5 * eta * self.weight.square() * self.bend,
            "own_logit": own_logit,
            "squared": squared,
            # On the first update π_old = π: A/π_old is w/π.
            "released": entropy_change(
                "released", weight=self.weight, advantages=self.weight, old_logprobs=self.logprobs, **stats
            ),
            "paper_integrand": squared * (-self.logprobs).exp(),
            "state_centred": -self.weight * (self.logprobs + self.entropy),
            "covariance": entropy_change("covariance", weight=self.weight, logprobs=self.logprobs, means=means),
        }


def one_token_each(family: str, weight_N: Tensor, etas: tuple[float, ...], generator: torch.Generator) -> Sampled:
    """Sample one token in every state and move its logits by η·w·(e_a − π), for every η."""
    parts = [
        _sampled(draw_states(family, len(weight), VOCABULARY, generator), weight, etas, generator)
        for weight in weight_N.split(CHUNK)
    ]
    columns = (torch.cat(column) for column in zip(*(part[:-1] for part in parts), strict=True))
    return Sampled(*columns, {eta: torch.cat([part[-1][eta] for part in parts]) for eta in etas})


def _sampled(
    logits_NV: Tensor, weight_N: Tensor, etas: tuple[float, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, dict[float, Tensor]]:
    prob_NV = logits_NV.softmax(dim=-1)
    actions_N1 = torch.multinomial(prob_NV, 1, generator=generator)
    stats = stats_from_logits(logits_NV, actions_N1[:, 0])
    weight_N1 = weight_N[:, None]
    changes = {}
    for eta in etas:
        moved_NV = logits_NV - (eta * weight_N1) * prob_NV
        moved_NV.scatter_add_(1, actions_N1, eta * weight_N1)
        changes[eta] = (entropy_of(moved_NV) - stats.entropy_N) / eta
    toward_NV = (-prob_NV).scatter_add(1, actions_N1, torch.ones_like(weight_N1))
    bend_N = second_derivative(logits_NV, toward_NV, prob_NV, stats.entropy_N)
    return weight_N, stats.logprobs_N, stats.entropy_N, stats.mean_score_N, bend_N, changes


def second_derivative(logits_NV: Tensor, toward_NV: Tensor, prob_NV: Tensor, entropy_N: Tensor) -> Tensor:
    """d²H[d, d] = −E_π[(d − E_π d)²(1 + log π + H)], [N]."""
    logprobs_NV = logits_NV - logits_NV.logsumexp(dim=-1, keepdim=True)
    centred_NV = toward_NV - (prob_NV * toward_NV).sum(dim=-1, keepdim=True)
    return -(prob_NV * centred_NV.square() * (1 + logprobs_NV + entropy_N[:, None])).sum(dim=-1)
