"""Log-probability under the min-p proxy of a policy: unlikely tokens dropped, the rest renormalised."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from steerctl.entropy.tiles import CHUNK_BYTES, Head, shaped, sum_tiles


@torch.no_grad()
def min_p_logprobs(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    min_p: float,
    bias_V: Tensor | None = None,
    temperature: float = 1.0,
    chunk_bytes: int | None = None,
) -> Tensor:
    """The log π̃(target) [N], nats, float32 (float64 for float64 input); −infinity where the target is dropped.

        π̃_b = π_b·1[π_b ≥ κ·max π] / Σ_c π_c·1[π_c ≥ κ·max π],   κ = min_p in (0, 1]

    Two passes over the tiles of logits: the first finds max π, the second what is kept. Shapes as in `stats`.

    Source: min-p sampling, arXiv 2407.01082; as the proxy of Lp-Reg, arXiv 2510.03222.
    """
    if chunk_bytes is None:
        chunk_bytes = CHUNK_BYTES.get(hidden_ND.device.type, CHUNK_BYTES["cuda"])
    with torch.autocast(hidden_ND.device.type, enabled=False):
        head = Head.of(hidden_ND, weight_VD, bias_V, temperature, chunk_bytes)
        sums = sum_tiles(head, targets_N)
        kept_N, floor = torch.zeros_like(sums.shift_N), log(min_p)
        if targets_N.numel():
            tile, scratch = head.buffers()
            for block in head.blocks():
                for rows in head.row_slices():
                    logits_RC = head.logits(rows, block, tile).sub_(sums.shift_N[rows, None])
                    torch.exp(logits_RC, out=shaped(scratch, *logits_RC.shape))
                    kept_RC = shaped(scratch, *logits_RC.shape).masked_fill_(logits_RC < floor, 0.0)
                    kept_N[rows] += kept_RC.sum(dim=1)
        target_N = sums.target_logit_N - sums.shift_N
        return torch.where(target_N < floor, -torch.inf, target_N - kept_N.log())
