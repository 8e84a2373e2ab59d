"""From token losses to one number: what each token's loss is divided by."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor

from steerctl.tensors import masked_sum
from steerctl.types import Dials, TokenBatch

Reduction = Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant_norm"]
"""
token_mean           Σ ℓ / N                    N trained tokens of the update (DAPO)
seq_mean_token_mean  mean over sequences of Σ ℓ / n_i    n_i trained tokens of the sequence (GRPO's paper)
seq_mean_token_sum   mean over sequences of Σ ℓ
constant_norm        Σ ℓ / (S · constant)       S sequences of the update (Dr. GRPO)
"""


def token_scale(reduction: Reduction, batch: TokenBatch, constant: float) -> Tensor:
    """What each token's loss is multiplied by: [B, 1] float32, to be broadcast over T.

    N and S are totals of the whole update over all micro-batches and ranks (`batch.num_tokens`,
    `batch.num_sequences`), so that the sum over micro-batches and ranks does not depend on how the update was cut.
    `constant` is read by `constant_norm` only.

    Source: verl `core_algos.agg_loss`; Dr. GRPO, arXiv 2503.20783 (sail-sg/understand-r1-zero).

    Departures: (1) verl before its global token count averaged micro-batches, so that a token's share depended on its
    neighbours; (2) verl's old `seq-mean-token-sum-norm` divided by the padded width, here by a constant.
    """
    tokens_B1 = batch.loss_mask_BT.sum(dim=1, keepdim=True)
    ones_B1 = torch.ones_like(tokens_B1, dtype=torch.float32)
    num_sequences = max(batch.num_sequences, 1)
    match reduction:
        case "token_mean":
            return ones_B1 / max(batch.num_tokens, 1)
        case "seq_mean_token_mean":
            return ones_B1 / (num_sequences * tokens_B1.clamp(min=1))
        case "seq_mean_token_sum":
            return ones_B1 / num_sequences
        case "constant_norm":
            return ones_B1 / (num_sequences * constant)
        case _:
            assert_never(reduction)


def token_loss(dials: Dials, surrogate_BT: Tensor, batch: TokenBatch, reduction: Reduction, constant: float) -> Tensor:
    """The loss of one micro-batch, a scalar with gradient: Σ mask · scale · (penalty − weight · surrogate).

    The update's loss is the plain sum over its micro-batches and ranks. Tokens outside the mask contribute neither
    value nor gradient, whatever they hold.
    """
    losses_BT = dials.penalty_BT - dials.weight_BT * surrogate_BT
    return masked_sum(losses_BT * token_scale(reduction, batch, constant), batch.loss_mask_BT)
