"""What the estimators share: the group's mean as a baseline, and whitening over all tokens of the step."""

from __future__ import annotations

import torch
from torch import Tensor


def centred(rewards_PG: Tensor) -> Tensor:
    """R − mean of the group [P, G], float64; a group of one has no baseline: A = R.

    Float64 so that equal rewards give exactly (G a power of two) or nearly 0 even when divided by a tiny deviation.

    Source of the group of one: verl `core_algos.compute_grpo_outcome_advantage` (mean 0, deviation 1), and likewise
    its RLOO, OPO and REINFORCE++-baseline.
    """
    rewards_PG = rewards_PG.double()
    if rewards_PG.shape[1] == 1:
        return rewards_PG
    return rewards_PG - rewards_PG.mean(dim=1, keepdim=True)


def token_whitened(values_PG: Tensor, lengths_PG: Tensor, epsilon: float) -> Tensor:
    """(v − μ)/√(σ² + ε) [P, G] with mean and (n − 1) variance over all tokens, each carrying its response's value.

    A response of n tokens counts n times. Fewer than two tokens, or equal values, have no variance: the result is 0.

    Source: verl `torch_functional.masked_whiten` (unbiased variance, ε inside the root).
    """
    values_PG, counts_PG = values_PG.double(), lengths_PG.double()
    num_tokens = counts_PG.sum()
    shifted_PG = values_PG - (values_PG * counts_PG).sum() / num_tokens.clamp(min=1)
    variance = (shifted_PG.square() * counts_PG).sum() / (num_tokens - 1).clamp(min=1)
    return shifted_PG * torch.rsqrt(variance + epsilon)
