from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import Reduction, token_loss, token_scale
from tests.batches import cut, make_case
from tests.oracles import loss as oracle

REDUCTIONS = get_args(Reduction)


def losses_of(case):
    """A dials-and-surrogate pair with every term away from neutral."""
    loss = PpoClip()
    dials = loss.neutral_dials(case.batch)
    positions = torch.arange(dials.weight_BT.shape[1])
    dials = replace(dials, weight_BT=dials.weight_BT * (0.5 + positions / 9), penalty_BT=0.1 * case.stats.entropy_BT)
    return dials, loss(dials, case.batch, case.stats)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("token_mean", -(1 + 2 + 4) / 3),
        ("seq_mean_token_mean", -(1.5 + 4) / 2),
        ("seq_mean_token_sum", -(3 + 4) / 2),
        ("constant_norm", -(3 + 4) / (2 * 10)),
    ],
)
def test_golden(reduction, expected):
    case = make_case(rows=2, length=4)
    mask = torch.tensor([[True, True, False, False], [False, True, False, False]])
    batch = replace(case.batch, loss_mask_BT=mask, num_tokens=3, num_sequences=2)
    surrogate = torch.tensor([[1.0, 2, 100, 100], [100, 4, 100, 100]])
    actual = token_loss(PpoClip().neutral_dials(batch), surrogate, batch, reduction, 10)
    assert actual.item() == pytest.approx(expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_oracle(reduction):
    case = make_case(seed=1)
    dials, surrogate = losses_of(case)
    losses = (dials.penalty_BT - dials.weight_BT * surrogate).detach().double().numpy()
    expected = oracle.reduce(losses, case.batch.loss_mask_BT.numpy(), reduction, 48)
    np.testing.assert_allclose(token_loss(dials, surrogate, case.batch, reduction, 48).item(), expected, rtol=2e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("sizes", [[1] * 6, [2, 4], [5, 1], [3, 3]])
def test_the_split_into_micro_batches_does_not_matter(reduction, sizes):
    case = make_case(seed=2, rows=6)
    whole = token_loss(*losses_of(case), case.batch, reduction, 48)
    parts = sum(token_loss(*losses_of(part), part.batch, reduction, 48) for part in cut(case, sizes))
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-7)
    gradients = [torch.autograd.grad(value, case.logits_BTV, retain_graph=True)[0] for value in (whole, parts)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_tokens_outside_the_mask_have_no_value_and_no_gradient_whatever_they_hold(reduction):
    case = make_case(seed=3)
    mask = case.batch.loss_mask_BT
    dials, surrogate = losses_of(case)
    filled = torch.where(mask, surrogate.detach(), 1e30).requires_grad_()
    penalty = torch.where(mask, dials.penalty_BT.detach(), 1e30).requires_grad_()
    loss = token_loss(replace(dials, penalty_BT=penalty), filled, case.batch, reduction, 48)
    assert torch.equal(loss, token_loss(dials, surrogate, case.batch, reduction, 48))
    for gradient in torch.autograd.grad(loss, (filled, penalty)):
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask] != 0).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_padding_micro_batch_gives_zero_and_not_nan(reduction):
    case = make_case(seed=4)
    empty = replace(case.batch, loss_mask_BT=torch.zeros_like(case.batch.loss_mask_BT))
    dials, surrogate = losses_of(case)
    loss = token_loss(dials, surrogate, empty, reduction, 48)
    assert loss.item() == 0
    assert (torch.autograd.grad(loss, case.logits_BTV)[0] == 0).all()


def test_scale_is_the_derivative_of_the_loss():
    case = make_case(seed=5)
    penalty = torch.zeros_like(case.batch.advantages_BT, requires_grad=True)
    dials = replace(PpoClip().neutral_dials(case.batch), penalty_BT=penalty)
    for reduction in REDUCTIONS:
        loss = token_loss(dials, torch.zeros_like(penalty), case.batch, reduction, 48)
        expected = token_scale(reduction, case.batch, 48) * case.batch.loss_mask_BT
        assert torch.equal(torch.autograd.grad(loss, penalty)[0], expected)
