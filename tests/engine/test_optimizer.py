"""Learning rate by hand; AdamW that refuses; clipping against torch."""

from __future__ import annotations

import math

import pytest
import torch

from steerctl.engine.optimizer import ClippingAdamW, GuardedAdamW, learning_rate, total_norm
from steerctl.spec.experiment import OptimSpec


def test_learning_rate_by_hand() -> None:
    optim = OptimSpec(lr=0.8, warmup_updates=4)
    assert [learning_rate(optim, n) for n in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert learning_rate(OptimSpec(lr=0.8), 0) == 0.8


def test_a_blocked_step_changes_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = GuardedAdamW([weight], OptimSpec(lr=0.1), fused=False)
    weight.grad = torch.ones(3)
    optimizer.blocked = True
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(3))
    assert not optimizer.state[weight]
    optimizer.blocked = False
    optimizer.step()
    assert not torch.equal(weight.detach(), torch.ones(3))


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_clipping_equals_torch(scale: float) -> None:
    torch.manual_seed(0)
    gradients = [scale * torch.randn(4, 3), scale * torch.randn(7)]
    ours = [torch.nn.Parameter(torch.ones_like(g)) for g in gradients]
    theirs = [torch.nn.Parameter(torch.ones_like(g)) for g in gradients]
    optim = OptimSpec(lr=0.1, max_grad_norm=1.5)
    for parameters in (ours, theirs):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
    optimizer = ClippingAdamW(ours, optim, fused=False)
    optimizer.step()
    norm = torch.nn.utils.clip_grad_norm_(theirs, 1.5)
    torch.optim.AdamW(theirs, lr=0.1, betas=optim.betas, eps=optim.eps, weight_decay=optim.weight_decay).step()
    assert optimizer.grad_norm == pytest.approx(float(norm))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_refuses_a_norm_that_is_not_finite(bad: float) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = ClippingAdamW([weight], OptimSpec(), fused=False)
    weight.grad = torch.tensor([1.0, bad])
    optimizer.step()
    assert not math.isfinite(optimizer.grad_norm)
    assert torch.equal(weight.detach(), torch.ones(2))


def test_total_norm_by_hand() -> None:
    assert float(total_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])) == 5.0
    assert float(total_norm([])) == 0.0
