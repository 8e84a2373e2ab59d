"""Whole losses and weights as the published codes define them: float64, token by token, from the written formulas.

Written as losses to be minimised (not as surrogates), from ratios of probabilities, independently of the other oracles.
A batch is a list of responses, a response a list of tokens; a token is (log π, log π_old, A, H_old).
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Token(NamedTuple):
    logprob: float
    old: float
    advantage: float
    entropy: float


Batch = list[list[Token]]


def ratio(token: Token) -> float:
    return math.exp(max(-20.0, min(20.0, token.logprob - token.old)))


def vanilla(token: Token, low: float, high: float, dual: float | None) -> float:
    """max(−A·r, −A·clip(r, 1 − ε_l, 1 + ε_h)), and for A < 0 at most −A·c."""
    r, a = ratio(token), token.advantage
    held = 1 - low if r < 1 - low else min(r, 1 + high)
    loss = max(-a * held, -a * r)
    if dual is not None and a < 0 and loss > -a * dual:
        loss = -a * dual
    return loss


def aggregate(losses: list[list[float]], mode: str, constant: float) -> float:
    """Σℓ/N · mean_i(Σℓ/n_i) · mean_i Σℓ · Σℓ/(B·L); responses without tokens count as sequences."""
    total = math.fsum(loss for row in losses for loss in row)
    count = sum(len(row) for row in losses)
    match mode:
        case "token_mean":
            return total / count
        case "seq_mean_token_mean":
            return math.fsum(math.fsum(row) / len(row) for row in losses if row) / len(losses)
        case "seq_mean_token_sum":
            return total / len(losses)
        case "constant_norm":
            return total / (len(losses) * constant)
    raise ValueError(mode)


def steer_weights(batch: Batch, mode: str, low: float, high: float) -> list[list[float]]:
    """Released STEER over one micro-batch: m = |A/q · p(1 − p)(ln p + H_old)|, exponential or linear in m."""
    metrics = []
    for row in batch:
        found = []
        for token in row:
            p = min(max(math.exp(token.logprob), 1e-8), 1 - 1e-8)
            q = min(max(math.exp(token.old), 1e-8), 1.0)
            m = abs(token.advantage / q * (p * (1 - p) * (math.log(p) + token.entropy)))
            found.append(m if math.isfinite(m) else 0.0)
        metrics.append(found)
    flat = [m for row in metrics for m in row]
    if mode == "exponential":
        k = -math.log(low) / max([*flat, 0.02])
        return [[min(max(math.exp(-k * m), low), 1.0) for m in row] for row in metrics]
    bottom, spread = min(flat), max(flat) - min(flat)
    if spread == 0:
        return [[(low + high) / 2 for _ in row] for row in metrics]
    return [[min(max(high - (m - bottom) / spread * (high - low), low), high) for m in row] for row in metrics]


def covariances(batch: Batch) -> list[list[float]]:
    tokens = [token for row in batch for token in row]
    mean_a = math.fsum(t.advantage for t in tokens) / len(tokens)
    mean_l = math.fsum(t.logprob for t in tokens) / len(tokens)
    return [[(t.advantage - mean_a) * (t.logprob - mean_l) for t in row] for row in batch]


def kl_cov_losses(batch: Batch, share: float, coef: float) -> list[list[float]]:
    """−A·r at every token, plus β|Δ| at the k = max(1, ⌊share·N⌋) of largest covariance."""
    cov = covariances(batch)
    ranked = sorted(((c, i, t) for i, row in enumerate(cov) for t, c in enumerate(row)), reverse=True)
    held = [(i, t) for _, i, t in ranked[: max(1, int(share * len(ranked)))]]
    losses = [[-token.advantage * ratio(token) for token in row] for row in batch]
    for i, t in held:
        losses[i][t] += coef * abs(batch[i][t].logprob - batch[i][t].old)
    return losses


def clip_cov_eligible(batch: Batch, low: float, high: float, window: tuple[float, float]) -> list[list[bool]]:
    """Covariance within the open window, and not clipped by PPO's rule."""

    def clipped(token: Token) -> bool:
        r, a = ratio(token), token.advantage
        return -a * r < -a * min(max(r, 1 - low), 1 + high)

    cov = covariances(batch)
    return [
        [window[0] < c < window[1] and not clipped(t) for c, t in zip(cs, row, strict=True)]
        for cs, row in zip(cov, batch, strict=True)
    ]


def gspo_losses(batch: Batch, low: float, high: float) -> list[list[float]]:
    """max(−A·s, −A·clip(s)) with the geometric mean s of the response's ratios, at most e^10."""
    losses = []
    for row in batch:
        mean = math.fsum(t.logprob - t.old for t in row) / len(row) if row else 0.0
        s = math.exp(min(mean, 10.0))
        losses.append([max(-t.advantage * s, -t.advantage * min(max(s, 1 - low), 1 + high)) for t in row])
    return losses
