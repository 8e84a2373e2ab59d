from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
import torch

from steerctl.intervention import fold
from steerctl.loss.ppo_clip import PpoClip
from steerctl.metrics.catalogue import metrics
from steerctl.metrics.mismatch import mismatch_tally, staleness_tally
from steerctl.metrics.tally import Tally
from steerctl.metrics.tokens import update_tally
from steerctl.types import Correction
from tests.batches import cut, make_case
from tests.fakes import FakeGenerator
from tests.oracles import correction as oracle
from tests.rollout.test_collect import collector


def by_hand(correction: bool = False):
    """Two responses of two tokens and one, with these log π_old − log μ; a wild number outside the mask."""
    case = make_case(rows=2, length=4)
    mask = torch.tensor([[False, True, True, False], [False, True, False, False]])
    gap = torch.tensor([[50.0, 0.5, -0.25, 50.0], [50.0, 2.0, 50.0, 50.0]])
    old = replace(case.batch.old_stats, logprobs_BT=gap - 3)
    batch = replace(case.batch, loss_mask_BT=mask, old=old, rollout_logprobs_BT=torch.full((2, 4), -3.0))
    if not correction:
        return batch
    ratio = torch.where(mask, gap, torch.zeros(2, 4)).exp()
    outside = mask & (ratio > 2)
    weight = torch.where(outside, torch.tensor([[1.0], [0.0]]), ratio)
    return replace(batch, correction=Correction(ratio, outside, weight))


def test_by_hand():
    found = mismatch_tally(by_hand()).finish()
    assert found["mismatch/logprob_abs/mean"] == pytest.approx(2.75 / 3)
    assert found["mismatch/logprob_abs/max"] == 2.0
    assert found["mismatch/kl/k1"] == pytest.approx(-2.25 / 3)
    ratios = [exp(0.5), exp(-0.25), exp(2)]
    assert found["mismatch/kl/mean"] == pytest.approx(sum(ratio - 1 - log(ratio) for ratio in ratios) / 3)
    assert (found["mismatch/ratio/max"], found["mismatch/ratio/min"]) == pytest.approx((exp(2), exp(-0.25)))
    assert found["mismatch/effective/fraction"] == pytest.approx(oracle.effective(ratios))
    assert not [key for key in found if key.startswith("correction")]
    assert set(found) <= set(metrics())


def test_the_correction_by_hand():
    found = mismatch_tally(by_hand(correction=True)).finish()
    weights = [exp(0.5), exp(-0.25), 0.0]
    assert found["correction/masked/fraction"] == pytest.approx(1 / 3)
    assert found["correction/truncated/fraction"] == 0
    assert found["correction/weight/mean"] == pytest.approx(sum(weights) / 3)
    assert (found["correction/weight/min"], found["correction/weight/max"]) == pytest.approx((0, exp(0.5)))
    assert found["correction/ratio/max"] == pytest.approx(exp(2))
    assert found["correction/effective/fraction"] == pytest.approx(oracle.effective(weights))
    assert set(found) <= set(metrics())


def test_ranks_and_micro_batches_merge_to_the_whole():
    case = make_case(4)
    noise = 0.5 * torch.randn(case.batch.loss_mask_BT.shape, generator=torch.Generator().manual_seed(1))
    case = replace(case, batch=replace(case.batch, rollout_logprobs_BT=noise * case.batch.loss_mask_BT))
    parts = [mismatch_tally(part.batch) for part in cut(case, [1, 3, 2])]
    assert Tally.merged(parts).finish() == pytest.approx(mismatch_tally(case.batch).finish(), rel=1e-9)


def test_a_micro_batch_of_padding_says_nothing():
    batch = replace(by_hand(), loss_mask_BT=torch.zeros(2, 4, dtype=torch.bool))
    assert mismatch_tally(batch).finish() == {}
    assert Tally.merged([mismatch_tally(batch), mismatch_tally(by_hand())]).finish() == pytest.approx(
        mismatch_tally(by_hand()).finish()
    )


def test_staleness():
    generator = FakeGenerator()
    generator.version = 3
    groups = collector(generator=generator).collect(0, 0).groups
    found = staleness_tally(groups, 4).finish()
    assert found == {"mismatch/staleness/mean": 1, "mismatch/staleness/max": 1}
    assert staleness_tally((), 4).finish() == {}


def test_the_weight_metrics_are_the_interventions_alone_and_the_prediction_is_not():
    batch = by_hand(correction=True)
    dials = PpoClip().neutral_dials(batch)
    halved = replace(dials, weight_BT=0.5 * dials.weight_BT)
    full = replace(halved, weight_BT=halved.weight_BT * batch.correction.weight_BT)
    found = update_tally(batch, batch.old_stats, full).finish()
    assert (found["weight/mean"], found["weight/min"], found["weight/max"]) == pytest.approx((0.5, 0.5, 0.5))
    plain = replace(batch, correction=None)
    expected = update_tally(plain, batch.old_stats, fold([], full, plain, batch.old_stats)).finish()
    assert found["entropy_change/exact/mean"] == expected["entropy_change/exact/mean"]
