"""Drawing one token per sequence: truncated softmax, and randomness that depends on nothing but a seed and an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steerctl.types import Sampling


@dataclass(frozen=True, slots=True)
class Draw:
    """token_B int64 and its log-probability logprob_B float32 nats, under the distribution it was drawn from."""

    token_B: Tensor
    logprob_B: Tensor


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Uniform numbers in [0, 1) [len(seeds), count], float64: row i is a function of seeds[i] alone.

    Philox, counter based, keyed by the seed (NumPy's implementation of Salmon et al., SC 2011); number t does not
    depend on how many are asked for.
    """
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros((0, count), dtype=torch.float64)


def truncated_logprobs(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """log-softmax of logits/temperature [B, V] in float32, −inf outside the top k and then the top-p nucleus.

    The nucleus is the smallest set of most probable tokens whose mass reaches top_p; at least one token stays.
    """
    scaled_BV = logits_BV.float() / sampling.temperature
    if 0 < sampling.top_k < scaled_BV.shape[-1]:
        smallest_B1 = scaled_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < smallest_B1, -torch.inf)
    if sampling.top_p < 1:
        order = scaled_BV.softmax(dim=-1).sort(dim=-1, descending=True)
        outside_BV = order.values.cumsum(dim=-1) - order.values >= sampling.top_p
        scaled_BV = scaled_BV.masked_fill(outside_BV.scatter(1, order.indices, outside_BV), -torch.inf)
    return scaled_BV.log_softmax(dim=-1)


def draw(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Draw:
    """Inverse of the cumulative distribution in vocabulary order at `uniform_B`, in float64.

    The first token whose cumulative mass exceeds u·(total mass): it always has positive probability.
    """
    logp_BV = truncated_logprobs(logits_BV, sampling)
    cumulative_BV = logp_BV.double().exp().cumsum(dim=-1)
    threshold_B1 = (uniform_B.to(cumulative_BV.device) * cumulative_BV[:, -1])[:, None]
    token_B1 = torch.searchsorted(cumulative_BV, threshold_B1, right=True)
    # Rounding can put the threshold on the total itself; the last token with mass is then the answer.
    last_B1 = torch.searchsorted(cumulative_BV, cumulative_BV[:, -1:].contiguous())
    token_B1 = torch.minimum(token_B1, last_B1)
    return Draw(token_B1[:, 0], logp_BV.gather(1, token_B1)[:, 0])
