"""Token metrics: numbers by hand, a NumPy oracle for the correlations, merging."""

from dataclasses import fields, replace
from math import exp, log

import numpy as np
import pytest
import torch

from steerctl.entropy.change import Means, entropy_change
from steerctl.metrics.catalogue import metrics
from steerctl.metrics.tally import Tally
from steerctl.metrics.tokens import optimizer_tally, state_tally, update_tally
from steerctl.types import Dials, OptimizerReport, TokenBatch, TokenStats

INF = float("inf")


def tensor(values):
    return torch.tensor(values, dtype=torch.float32)


def stats_of(logprobs, entropy, mean_score=0.0):
    logprobs_BT = tensor(logprobs)
    filled = torch.full_like(logprobs_BT, mean_score)
    return TokenStats(logprobs_BT, tensor(entropy), filled, filled)


def batch_of(mask, advantages, rollout, old):
    mask_BT = torch.tensor(mask)
    ids_BT = torch.zeros(mask_BT.shape, dtype=torch.int64)
    rows, count = torch.arange(len(mask)), int(mask_BT.sum())
    return TokenBatch(ids_BT, ids_BT, mask_BT, tensor(advantages), tensor(rollout), rows, count, len(mask), old)


def neutral(batch, low=0.2, high=0.2):
    ones = torch.ones_like(batch.advantages_BT)
    return Dials(batch.advantages_BT, ones, low * ones, high * ones, 0 * ones)


def by_hand():
    """Two rows; the first has a prompt position, the second ends one position earlier."""
    mask = [[False, True, True, True], [True, True, True, False]]
    advantages = [[0.0, 1.0, 1.0, 0.0], [-2.0, -2.0, -2.0, 0.0]]
    old = stats_of(
        [[0, log(0.5), log(0.5), log(0.5)], [log(0.5), log(0.5), log(0.1), 0]], [[0.0, 1, 1, 1], [1, 1, 1, 0]]
    )
    batch = batch_of(mask, advantages, [[9, log(0.5), log(0.4), log(0.5)], [log(0.5), log(0.5), log(0.1), 9]], old)
    now = stats_of(
        [[0, log(0.75), log(0.55), log(0.5)], [log(0.25), log(0.75), log(0.1), 0]], [[0.0, 1, 1, 1], [1, 1, 1, 0]]
    )
    return batch, now


def test_update_by_hand():
    batch, now = by_hand()
    dials = neutral(batch)
    weight = dials.weight_BT.clone()
    weight[0, 1], weight[1, 2] = 0.7, 0.4
    got = update_tally(batch, now, replace(dials, weight_BT=weight, penalty_BT=0.5 * torch.ones(2, 4))).finish()
    ratios = [1.5, 1.1, 1.0, 0.5, 1.5, 1.0]
    assert got["policy/ratio/mean"] == pytest.approx(np.mean(ratios), rel=1e-6)
    assert got["policy/ratio/max"] == pytest.approx(1.5)
    assert got["policy/ratio/min"] == pytest.approx(0.5)
    assert got["policy/kl/mean"] == pytest.approx(np.mean([r - 1 - log(r) for r in ratios]), rel=1e-5)
    assert got["clip/high/fraction"] == pytest.approx(1 / 6)
    assert got["clip/low/fraction"] == pytest.approx(1 / 6)
    assert got["weight/mean"] == pytest.approx((4 + 0.7 + 0.4) / 6)
    assert got["weight/min"] == pytest.approx(0.4)
    assert got["weight/fraction_below_0.9"] == pytest.approx(2 / 6)
    assert got["advantage/abs/mean"] == pytest.approx(8 / 6)
    assert got["advantage/zero/fraction"] == pytest.approx(1 / 6)
    assert got["advantage/turned/fraction"] == 0
    assert got["penalty/mean"] == pytest.approx(0.5)
    assert "reference/kl/mean" not in got
    # w·S_a of the tokens that pass: weight · r · A · π(log π + H), S̄ = 0; two tokens are clipped
    first = -1.1 * 0.55 * (log(0.55) + 1)
    fourth = 2 * 1.5 * 0.75 * (log(0.75) + 1)
    third = 2 * 0.4 * 0.1 * (log(0.1) + 1)
    assert got["entropy_change/exact/mean"] == pytest.approx((first + fourth + third) / 6, rel=1e-5)
    assert got["entropy_change/exact/quadrant_1"] == pytest.approx(first / 6, rel=1e-5)
    assert got["entropy_change/exact/quadrant_2"] == 0
    assert got["entropy_change/exact/quadrant_3"] == pytest.approx(third / 6, rel=1e-5)
    assert got["entropy_change/exact/quadrant_4"] == pytest.approx(fourth / 6, rel=1e-5)


def test_asymmetric_and_absent_bounds():
    batch, now = by_hand()
    high = update_tally(batch, now, neutral(batch, low=0.6, high=0.05)).finish()
    assert (high["clip/high/fraction"], high["clip/low/fraction"]) == (pytest.approx(2 / 6), 0)
    none = update_tally(batch, now, neutral(batch, low=INF, high=INF)).finish()
    assert (none["clip/high/fraction"], none["clip/low/fraction"]) == (0, 0)


def test_dual_clip_silences_the_prediction():
    batch, now = by_hand()
    free = update_tally(batch, now, neutral(batch)).finish()
    held = update_tally(batch, now, neutral(batch), dual_clip=1.2).finish()
    assert free["entropy_change/exact/quadrant_4"] != 0
    assert held["entropy_change/exact/quadrant_4"] == 0


def test_a_slope_decides_what_is_clipped_and_what_the_prediction_weighs():
    """For losses that do something else at their bounds than ppo_clip: theirs are not looked at then."""
    batch, now = by_hand()
    dials = replace(neutral(batch), weight_BT=0.5 * torch.ones(2, 4))
    slope = tensor([[7, 3, 0, 0], [-1, 0, -4, 7]])  # 7: not trained
    got = update_tally(batch, now, dials, slope_BT=slope).finish()
    assert (got["clip/high/fraction"], got["clip/low/fraction"]) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    scores = [0.75 * (log(0.75) + 1), 0.25 * (log(0.25) + 1), 0.1 * (log(0.1) + 1)]
    expected = -0.5 * (3 * scores[0] - 1 * scores[1] - 4 * scores[2]) / 6
    assert got["entropy_change/exact/mean"] == pytest.approx(expected, rel=1e-5)
    assert got["policy/ratio/max"] == pytest.approx(1.5)


def test_states_by_hand():
    batch, _ = by_hand()
    after = stats_of([[0.0] * 4, [0.0] * 4], [[5, 0.5, 1, 1], [1, 1.5, 0.7, 5]])
    got = state_tally(batch, neutral(batch), after).finish()
    assert got["policy/entropy/mean"] == pytest.approx(1)
    assert got["policy/entropy_after/mean"] == pytest.approx(5.7 / 6)
    assert got["policy/surprisal/mean"] == pytest.approx(-(5 * log(0.5) + log(0.1)) / 6)
    assert got["entropy_change/measured/mean"] == pytest.approx(-0.3 / 6, rel=1e-5)
    assert got["entropy_change/measured/abs_mean"] == pytest.approx(1.3 / 6, rel=1e-5)
    assert got["batch/padding/fraction"] == pytest.approx(1 / 8)
    assert got["batch/tokens/count"] == 6
    before_only = state_tally(batch, neutral(batch)).finish()
    assert not [key for key in before_only if "measured" in key or "after" in key or "pearson" in key]


def test_optimizer_by_hand():
    tallies = [optimizer_tally(OptimizerReport(grad_norm=norm, learning_rate=lr)) for norm, lr in ((1, 0.1), (3, 0.2))]
    got = Tally.merged(tallies).finish()
    assert got == {"optim/grad_norm/mean": 2, "optim/grad_norm/max": 3, "optim/lr/value": 0.2}


def random_step(seed, rows=6, width=9, reference=False):
    rng = np.random.default_rng(seed)
    shape = (rows, width)

    def stats():
        logprobs, entropy = -rng.exponential(1, shape), rng.exponential(1, shape)
        mean_score, collision = rng.uniform(0, 0.2, shape), rng.uniform(0, 1, shape)
        return TokenStats(tensor(logprobs), tensor(entropy), tensor(mean_score), tensor(collision))

    old = stats()
    now = replace(old, logprobs_BT=old.logprobs_BT + tensor(rng.normal(0, 0.2, shape)))
    mask = rng.random(shape) < 0.7
    mask[:, -1] = True
    batch = batch_of(mask.tolist(), rng.normal(0, 1, shape), old.logprobs_BT.tolist(), old)
    if reference:
        batch = replace(batch, ref_logprobs_BT=stats().logprobs_BT)
    dials = replace(neutral(batch), weight_BT=tensor(rng.uniform(0.5, 1, shape)))
    return batch, now, dials, stats()


def cut(record, rows):
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    if isinstance(record, TokenBatch):
        values["old"] = cut(record.old, rows)
    return type(record)(**{key: v[rows] if isinstance(v, torch.Tensor) else v for key, v in values.items()})


def test_micro_batches_and_ranks_merge_to_the_whole():
    batch, now, dials, after = random_step(3, reference=True)

    def tally(rows):
        part, turned = cut(batch, rows), cut(dials, rows)
        return update_tally(part, cut(now, rows), turned).merge(state_tally(part, turned, cut(after, rows)))

    whole = tally(slice(0, 6)).finish()
    ranks = [tally(slice(0, 1)).merge(tally(slice(1, 3))), tally(slice(3, 6))]
    merged = ranks[0].over_ranks(lambda _: ranks).finish()
    assert merged.pop("batch/micro_batches/count") == 3
    assert whole.pop("batch/micro_batches/count") == 1
    assert merged == pytest.approx(whole, rel=1e-9, abs=1e-12)
    assert set(whole) <= set(metrics())


def test_predictions_against_the_estimators():
    batch, now, dials, after = random_step(4)
    mask = batch.loss_mask_BT
    got = state_tally(batch, dials, after).merge(update_tally(batch, now, dials)).finish()
    coefficient = (dials.weight_BT * dials.advantages_BT)[mask].double()
    old_logprob, measured = (
        batch.old.logprobs_BT[mask].double(),
        (after.entropy_BT - batch.old.entropy_BT)[mask].double(),
    )
    centred = entropy_change(
        "covariance", weight=coefficient, logprobs=old_logprob, means=Means(coefficient.mean(), old_logprob.mean())
    )
    assert got["entropy_change/covariance/pearson"] == pytest.approx(np.corrcoef(centred, measured)[0, 1], rel=1e-6)
    exact = entropy_change(
        "exact",
        weight=coefficient,
        logprobs=old_logprob,
        entropy=batch.old.entropy_BT[mask].double(),
        mean_score=batch.old.mean_score_BT[mask].double(),
    )
    assert got["entropy_change/exact/pearson"] == pytest.approx(np.corrcoef(exact, measured)[0, 1], rel=1e-6)

    logprob, advantage = now.logprobs_BT[mask].double(), dials.advantages_BT[mask].double()
    ratio = (logprob - old_logprob).exp()
    passes = ~(((advantage > 0) & (ratio > 1.2)) | ((advantage < 0) & (ratio < 0.8)))
    live = coefficient * ratio * passes
    whole = entropy_change("covariance", weight=live, logprobs=logprob, means=Means(live.mean(), logprob.mean()))
    assert got["entropy_change/covariance/mean"] == pytest.approx(float(whole.mean()), rel=1e-5)
    likely = logprob + now.entropy_BT[mask] >= 0
    third = whole[(advantage < 0) & ~likely].sum() / len(whole)
    assert got["entropy_change/covariance/quadrant_3"] == pytest.approx(float(third), rel=1e-5)
    quadrants = [got[f"entropy_change/covariance/quadrant_{q}"] for q in (1, 2, 3, 4)]
    assert sum(quadrants) == pytest.approx(got["entropy_change/covariance/mean"], rel=1e-9)


def test_a_micro_batch_of_padding_adds_nothing():
    batch, now, dials, after = random_step(5)
    empty = replace(batch, loss_mask_BT=torch.zeros_like(batch.loss_mask_BT))
    alone = update_tally(batch, now, dials).merge(state_tally(batch, dials, after)).finish()
    padding = update_tally(empty, now, dials).merge(state_tally(empty, dials, after))
    both = padding.merge(update_tally(batch, now, dials)).merge(state_tally(batch, dials, after)).finish()
    changed = {key for key in both if both[key] != pytest.approx(alone[key], rel=1e-12)}
    assert changed == {"batch/padding/fraction", "batch/micro_batches/count"}
    assert both["batch/padding/fraction"] == pytest.approx(0.5)


def test_nothing_keeps_a_graph_or_changes_its_input():
    batch, now, dials, _ = random_step(6)
    logprobs = now.logprobs_BT.clone().requires_grad_()
    before = dials.weight_BT.clone()
    update_tally(batch, replace(now, logprobs_BT=logprobs * 1), dials)
    assert logprobs.grad is None
    assert torch.equal(before, dials.weight_BT)


def test_ratio_of_a_lost_token_stays_finite():
    batch, now = by_hand()
    far = replace(now, logprobs_BT=now.logprobs_BT + 1000)
    assert update_tally(batch, far, neutral(batch)).finish()["policy/ratio/max"] == pytest.approx(exp(20))
