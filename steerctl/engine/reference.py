"""The frozen reference policy's weights: renewed from the trained ones, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from steerctl.engine.policy import DeepSpeedPolicy


def reference_weights(policy: DeepSpeedPolicy) -> Iterator[tuple[str, Tensor]]:
    """Every parameter of the reference in full, one at a time; all ranks must exhaust it together."""
    for name, parameter in _parameters(policy).items():
        with policy.gathered([parameter], enabled=policy.stage == 3):
            yield name, parameter.detach()


@torch.no_grad()
def set_reference_weight(policy: DeepSpeedPolicy, name: str, value: Tensor) -> None:
    """Set one parameter of the reference; collective, the same value on all ranks."""
    parameter = _parameters(policy)[name]
    with policy.gathered([parameter], modifier_rank=0, enabled=policy.stage == 3):
        parameter.data.copy_(value)


def renew_reference(policy: DeepSpeedPolicy) -> None:
    """Make the reference what the policy is now; collective. Nothing else changes."""
    for name, value in policy.weights():
        set_reference_weight(policy, name, value)
    policy.reference_renewed = True


def _parameters(policy: DeepSpeedPolicy) -> dict[str, nn.Parameter]:
    if policy.reference is None:
        raise RuntimeError("the policy was built without a reference (with_reference=False)")
    module: Any = getattr(policy.reference, "module", policy.reference)
    named: dict[str, nn.Parameter] = module.parameter_names()
    return named
