from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from steerctl.intervention import Population
from steerctl.intervention._change import change_measure, magnitude
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import cut, make_case


def test_exact_is_the_directional_derivative_of_the_entropy():
    """The change of H along dz = w(e_a − π), w being the factor that the loss's gradient gives each token."""
    case = make_case(seed=1, drift=1.0, dtype=torch.float64)
    view = case.view()
    measure = change_measure("exact", Population.alone(view), entropy_source="live", use_clip_indicator=True)
    surrogate = PpoClip()(view.dials, case.batch, case.stats)[case.batch.loss_mask_BT].sum()
    step = torch.autograd.grad(surrogate, case.logits_BTV, retain_graph=True)[0]
    slope = torch.autograd.grad(case.stats.entropy_BT.sum(), case.logits_BTV, retain_graph=True)[0]
    expected = (step * slope).sum(dim=-1)
    torch.testing.assert_close(measure(view.dials, case.batch, case.stats), expected)
    assert expected.abs().max() > 0.1


def test_earlier_weights_and_advantages_scale_it():
    case = make_case(seed=2)
    view = case.view()
    measure = change_measure("own_logit", Population.alone(view), entropy_source="live", use_clip_indicator=True)
    plain = measure(view.dials, case.batch, case.stats)
    turned = replace(view.dials, weight_BT=view.dials.weight_BT * 3, advantages_BT=view.dials.advantages_BT * 2)
    torch.testing.assert_close(measure(turned, case.batch, case.stats), 6 * plain)
    assert not plain.requires_grad


def test_covariance_is_centred_over_the_population():
    case = make_case(seed=3, drift=0.8)
    views = tuple(part.view() for part in cut(case, [2, 4]))
    population = Population(views, lambda value: [value])
    measure = change_measure("covariance", population, entropy_source="live", use_clip_indicator=False)
    alone = change_measure("covariance", Population.alone(case.view()), entropy_source="live", use_clip_indicator=False)
    split = torch.cat([measure(view.dials, view.batch, view.stats) for view in views])
    torch.testing.assert_close(split, alone(case.view().dials, case.batch, case.stats), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("both", [2.0, 0.0, 3.0]),
        ("decreasing_only", [2.0, 0.0, 0.0]),
        ("increasing_only", [0.0, 0.0, 3.0]),
        ("asymmetric", [2.0, 0.0, -3.0]),
    ],
)
def test_magnitude(sign, expected):
    assert magnitude(torch.tensor([-2.0, 0.0, 3.0]), sign).tolist() == expected
