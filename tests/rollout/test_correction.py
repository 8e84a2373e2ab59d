from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from steerctl.intervention import Population, fold
from steerctl.intervention.kl import Kl
from steerctl.intervention.steer import Steer
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from steerctl.rollout.correction import corrected, correction_of
from steerctl.spec.correction import CorrectionSpec, Level, MaskedCorrection, TruncatedCorrection
from tests.batches import Case, cut, make_case, stats_of
from tests.oracles import correction as oracle

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "correction.json").read_text())
SPEC = TypeAdapter(CorrectionSpec)
LEVELS = get_args(Level)
SPECS = [
    *(TruncatedCorrection(level=level, low=0.7, high=1.4) for level in LEVELS),
    *(MaskedCorrection(level=level, low=0.7, high=1.4) for level in LEVELS),
    MaskedCorrection(level="geometric", low=0.9, high=1.1, weigh=False),
]


def sampled_elsewhere(seed: int = 0, drift: float = 0.4, dtype=torch.float32, **shape) -> Case:
    """A case whose sampler was `drift` away from the trainer."""
    case = make_case(seed, dtype=dtype, **shape)
    noise = drift * torch.randn(case.batch.loss_mask_BT.shape, generator=torch.Generator().manual_seed(seed + 99))
    logprobs = torch.where(case.batch.loss_mask_BT, case.batch.old_stats.logprobs_BT + noise.to(dtype), 0.0)
    return replace(case, batch=replace(case.batch, rollout_logprobs_BT=logprobs))


def with_correction(case: Case, spec) -> Case:
    return replace(case, batch=replace(case.batch, correction=correction_of(spec, case.batch)))


def loss_of(case: Case, turns=(), reduction="token_mean") -> torch.Tensor:
    surrogate = PpoClip()
    dials = fold([*turns, corrected], surrogate.neutral_dials(case.batch), case.batch, case.stats)
    return token_loss(dials, surrogate(dials, case.batch, case.stats), case.batch, reduction, 10)


@pytest.mark.parametrize("golden", GOLDEN["cases"], ids=lambda golden: "-".join(map(str, golden["spec"].values())))
def test_golden(golden) -> None:
    gaps, width = GOLDEN["gaps"], 5
    case = make_case(rows=len(gaps), length=width, dtype=torch.float64)
    mask = torch.tensor([[0 < t <= len(row) for t in range(width)] for row in gaps])
    gap = torch.tensor([[0.0, *row, *[0.0] * (width - 1 - len(row))] for row in gaps], dtype=torch.float64)
    noise = torch.where(mask, 0.0, 77.0)  # what stands outside the mask must not matter
    old = replace(case.batch.old_stats, logprobs_BT=gap + noise)
    batch = replace(case.batch, loss_mask_BT=mask, old=old, rollout_logprobs_BT=torch.zeros_like(gap))
    found = correction_of(SPEC.validate_python(golden["spec"]), batch)
    expected = [weight for row in golden["weights"] for weight in row]
    np.testing.assert_allclose(found.weight_BT[mask].numpy(), expected, rtol=1e-14)
    assert torch.equal(found.weight_BT[~mask], torch.ones_like(found.weight_BT[~mask]))
    assert not found.outside_BT[~mask].any()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_oracle(spec) -> None:
    case = sampled_elsewhere(3, dtype=torch.float64)
    batch = case.batch
    found = correction_of(spec, batch)
    gap = (batch.old_stats.logprobs_BT - batch.rollout_logprobs_BT).numpy()
    for row, keep in enumerate(batch.loss_mask_BT.numpy()):
        ratios = oracle.ratios(gap[row][keep].tolist(), spec.level)
        weights = [oracle.weight(each, spec.kind, spec.low, spec.high, getattr(spec, "weigh", True)) for each in ratios]
        np.testing.assert_allclose(found.ratio_BT[row].numpy()[keep], ratios, rtol=1e-12)
        np.testing.assert_allclose(found.weight_BT[row].numpy()[keep], weights, rtol=1e-12)
        outside = [not spec.low <= each <= spec.high for each in ratios]
        assert found.outside_BT[row].numpy()[keep].tolist() == outside


def test_without_a_correction_the_dials_are_the_very_same() -> None:
    case = sampled_elsewhere()
    dials = PpoClip().neutral_dials(case.batch)
    assert corrected(dials, case.batch, case.stats) is dials


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_sampler_that_is_the_trainer_changes_nothing(spec) -> None:
    case = make_case(2)
    assert torch.equal(loss_of(with_correction(case, spec)), loss_of(case))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_finite_differences(spec) -> None:
    """Weights are constants: the gradient of the loss is that of Σ weight · surrogate."""
    case = with_correction(sampled_elsewhere(4, dtype=torch.float64, drift=0.2, rows=3, length=6, vocabulary=5), spec)
    assert not case.batch.correction.weight_BT.requires_grad
    loss = loss_of(case)
    (gradient,) = torch.autograd.grad(loss, case.logits_BTV)

    def value(logits: torch.Tensor) -> float:
        stats = stats_of(logits, case.batch.target_ids_BT, case.batch.loss_mask_BT)
        return float(loss_of(replace(case, stats=stats)))

    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = torch.randn(gradient.shape, generator=rng, dtype=torch.float64)
        step = 1e-6 * direction
        logits = case.logits_BTV.detach()
        slope = (value(logits + step) - value(logits - step)) / 2e-6
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5, abs=1e-9)


def test_a_masked_token_has_no_gradient_and_stays_in_the_denominator() -> None:
    spec = MaskedCorrection(low=0.8, high=1.25, weigh=False)
    case = with_correction(sampled_elsewhere(5), spec)
    left_out = case.batch.loss_mask_BT & case.batch.correction.outside_BT
    assert 0 < left_out.sum() < case.batch.loss_mask_BT.sum()
    (gradient,) = torch.autograd.grad(loss_of(case), case.logits_BTV)
    assert torch.equal(gradient[left_out], torch.zeros_like(gradient[left_out]))
    other = sampled_elsewhere(5)
    (plain,) = torch.autograd.grad(loss_of(other), other.logits_BTV)
    kept = case.batch.loss_mask_BT & ~left_out
    torch.testing.assert_close(gradient[kept], plain[kept], rtol=0, atol=0)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("sizes", [[1] * 6, [2, 4], [3, 3]])
def test_the_split_into_micro_batches_does_not_matter(spec, sizes) -> None:
    case = sampled_elsewhere(6)
    whole = loss_of(with_correction(case, spec))
    parts = sum(loss_of(with_correction(part, spec)) for part in cut(case, sizes))
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-7)


def test_padding_does_not_matter() -> None:
    case = sampled_elsewhere(7)
    longer = {
        name: torch.nn.functional.pad(getattr(case.batch, name), (0, 3))
        for name in ("loss_mask_BT", "rollout_logprobs_BT", "advantages_BT")
    }
    old = replace(
        case.batch.old_stats, logprobs_BT=torch.nn.functional.pad(case.batch.old_stats.logprobs_BT, (0, 3), value=-9)
    )
    for spec in SPECS:
        short = correction_of(spec, case.batch)
        padded = correction_of(spec, replace(case.batch, old=old, **longer))
        assert torch.equal(padded.weight_BT[:, :-3], short.weight_BT)


def test_interventions_do_not_see_it_and_the_penalty_is_not_weighted() -> None:
    case = with_correction(sampled_elsewhere(8), TruncatedCorrection(high=1.1))
    surrogate, steer, kl = PpoClip(), Steer(), Kl(kl_coef=0.5)
    neutral = surrogate.neutral_dials(case.batch)
    turns = [each.prepare(Population.alone(case.view())) for each in (steer, kl)]
    plain = fold(turns, neutral, case.batch, case.stats)
    with_it = fold([*turns, corrected], neutral, case.batch, case.stats)
    assert torch.equal(with_it.penalty_BT, plain.penalty_BT)
    assert torch.equal(with_it.weight_BT, plain.weight_BT * case.batch.correction.weight_BT)
    assert torch.equal(with_it.advantages_BT, plain.advantages_BT)


def test_levels_agree_where_a_response_has_one_token() -> None:
    case = sampled_elsewhere(9)
    mask = torch.zeros_like(case.batch.loss_mask_BT)
    mask[:, 4] = True
    batch = replace(case.batch, loss_mask_BT=mask)
    found = [correction_of(TruncatedCorrection(level=level), batch).weight_BT for level in LEVELS]
    assert all(torch.equal(one, two) for one, two in pairwise(found))
