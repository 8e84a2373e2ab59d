from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.clip_higher import ClipHigher
from steerctl.loss.cispo import Cispo
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import make_case
from tests.intervention.populations import edge_cases, loss_of
from tests.oracles import loss_b as oracle

PRESETS = yaml.safe_load(re.search(r"^ *verl: .*?(?=\n\n)", Cispo.__doc__, re.DOTALL | re.MULTILINE).group())
ABSOLUTE = Cispo(bound="absolute", clip_ratio_high=1.5)


def value_and_slope(case, loss, dials=None):
    """The surrogate and its derivative by log π."""
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    value = loss(dials or loss.neutral_dials(case.batch), case.batch, replace(case.stats, logprobs_BT=logprobs))
    return value.detach(), torch.autograd.grad(value.sum(), logprobs)[0]


def test_presets_stand_in_the_docstring():
    assert Cispo(**PRESETS["verl"]) == Cispo()
    assert Cispo(**PRESETS["scale_rl"]).bound == "absolute"


@pytest.mark.parametrize(("ratio", "weight"), [(1.1, 1.1), (5.0, 1.2), (0.1, 0.8)])
@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_golden_no_token_loses_its_gradient(ratio, weight, advantage):
    case = make_case(rows=1, dtype=torch.float64)
    shape = case.batch.loss_mask_BT.shape
    old = replace(case.batch.old_stats, logprobs_BT=torch.full(shape, -1.0, dtype=torch.float64))
    batch = replace(case.batch, advantages_BT=torch.full(shape, advantage, dtype=torch.float64), old=old)
    stats = replace(case.stats, logprobs_BT=old.logprobs_BT + math.log(ratio))
    value, slope = value_and_slope(replace(case, batch=batch, stats=stats), Cispo())
    assert slope[0, 0].item() == pytest.approx(weight * advantage)
    assert value[0, 0].item() == pytest.approx(weight * advantage * (math.log(ratio) - 1.0))


@pytest.mark.parametrize(
    ("loss", "lowest", "highest"),
    [
        (Cispo(), 0.8, 1.2),
        (Cispo(clip_ratio_low=math.inf, clip_ratio_high=0.5), -math.inf, 1.5),
        (ABSOLUTE, 0.0, 1.5),
        (Cispo(bound="absolute", clip_ratio_high=5.0), 0.0, 5.0),
    ],
)
def test_oracle_of_value_and_gradient(loss, lowest, highest):
    case = make_case(seed=1, drift=2.0, dtype=torch.float64)
    value, slope = value_and_slope(case, loss)
    logprobs = case.stats.logprobs_BT.detach()
    moved = logprobs - case.batch.old_stats.logprobs_BT
    columns = (each.flatten().tolist() for each in (logprobs, moved, case.batch.advantages_BT))
    pairs = [oracle.cispo(*token, lowest, highest) for token in zip(*columns, strict=True)]
    np.testing.assert_allclose(torch.stack([value, slope], -1).reshape(-1, 2).numpy(), pairs, rtol=1e-6, atol=1e-12)


def test_the_same_number_means_two_things():
    case = make_case(seed=2, drift=2.0)
    _, relative = value_and_slope(case, Cispo(clip_ratio_low=math.inf, clip_ratio_high=1.5))
    _, absolute = value_and_slope(case, ABSOLUTE)
    assert (relative.abs() >= absolute.abs()).all()
    assert (relative.abs() > absolute.abs()).any()


def test_on_policy_its_gradient_is_ppos():
    case = make_case(seed=3, drift=0.0)
    for loss in (Cispo(), ABSOLUTE):
        assert torch.equal(value_and_slope(case, loss)[1], value_and_slope(case, PpoClip())[1])


def test_an_intervention_sets_bounds_in_relative_form():
    case = make_case(seed=4, drift=2.0)
    higher = ClipHigher(clip_ratio_low=0.2, clip_ratio_high=0.28)
    turned = [higher.apply(loss.neutral_dials(case.batch), case.batch, case.stats) for loss in (Cispo(), ABSOLUTE)]
    slopes = [value_and_slope(case, loss, dials)[1] for loss, dials in zip((Cispo(), ABSOLUTE), turned, strict=True)]
    assert torch.equal(*slopes)


def test_an_absolute_bound_below_one_is_refused():
    with pytest.raises(ValidationError, match="largest ratio itself"):
        Cispo(bound="absolute")


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        for loss_kind in (Cispo(), ABSOLUTE):
            loss = loss_of(loss_kind.neutral_dials(case.batch), case, loss_kind)
            (gradient,) = torch.autograd.grad(loss, case.logits_BTV, retain_graph=True)
            assert torch.isfinite(loss), name
            assert torch.isfinite(gradient).all(), name
            assert (gradient[~case.batch.loss_mask_BT] == 0).all(), name
