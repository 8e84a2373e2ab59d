"""The reference policy, as the interventions that measure a distance from it see it."""

from __future__ import annotations

from torch import Tensor

from steerctl.types import TokenBatch


def reference_logprobs(batch: TokenBatch) -> Tensor:
    """Log π_ref(target) [B, T] of a batch that was prepared for an intervention which needs the reference."""
    if batch.ref_logprobs_BT is None:
        raise RuntimeError("this batch has no reference log-probabilities")
    return batch.ref_logprobs_BT
