"""The losses and weights of the paper's own code and of its baselines, to 1e-6 on random tensors with edge cases.

Expected values: tests/oracles/published.py and advantage.py, loops over single tokens and rewards, float64.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import get_args

import numpy as np
import pytest
import torch
import yaml

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.gpg import Gpg
from steerctl.advantage.grpo import Grpo
from steerctl.advantage.grpo_passk import GrpoPassk
from steerctl.advantage.opo import Opo
from steerctl.advantage.pass_at_k import PassAtK
from steerctl.advantage.quantile import Quantile
from steerctl.advantage.reinforce_pp import ReinforcePp
from steerctl.advantage.reinforce_pp_baseline import ReinforcePpBaseline
from steerctl.advantage.rloo import Rloo
from steerctl.intervention import Population, fold
from steerctl.intervention.clip_cov import ClipCov
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.kl_cov import KlCov
from steerctl.intervention.steer import Steer
from steerctl.loss.gspo import Gspo
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import Reduction, token_loss
from tests.batches import Case, make_case
from tests.oracles import advantage as credit
from tests.oracles import advantage_b as credit_b
from tests.oracles import published
from tests.oracles.published import Token

PRESET_OF = {"exponential": "released", "linear": "released_linear"}
REDUCTIONS = get_args(Reduction)
CONSTANT = 37
DAPO = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "dual_clip": 10.0}
"""The bounds of STEER's scripts."""
RELEASED = yaml.safe_load(Steer.__doc__.split("paper_v1:")[1].split("\n", 1)[1].split("Source:")[0])


def hard_case(seed: int, dtype=torch.float64, *, extreme: bool = False) -> Case:
    """Random responses among which there are an empty one, one of a single token, certain tokens and one at a bound.

    extreme: also probabilities of 1e-18 and ratios of e^59, beside which all else is lost in a sum or a maximum.
    """
    case = make_case(seed=seed, rows=9, length=14, vocabulary=30, drift=0.8, dtype=dtype)
    rng = np.random.default_rng(seed)
    mask = case.batch.loss_mask_BT.clone()
    mask[0] = False
    mask[1] = torch.arange(14) == 3
    advantages = torch.from_numpy(np.where(rng.random((9, 1)) < 0.3, rng.normal(size=(9, 14)), rng.normal(size=(9, 1))))
    advantages[2] = 0.0
    logprobs, old = case.stats.logprobs_BT.detach().clone(), case.batch.old_stats.logprobs_BT.clone()
    logprobs[3, 4:], old[3, 4:] = 0.0, 0.0  # probability 1
    if extreme:
        logprobs[4, 4:6], old[4, 4:6] = -45.0, -40.0
        logprobs[5, 4], old[5, 4] = -1.0, -60.0
        logprobs[5, 5], old[5, 5] = -60.0, -1.0
        advantages[5] = -1.0
    logprobs[6, 4] = old[6, 4] + float(np.log(1.2))
    entropy = torch.from_numpy(rng.uniform(0, 3, (9, 14)))
    logprobs, old, advantages, entropy = (
        torch.where(mask, values.to(dtype), 0.0) for values in (logprobs, old, advantages, entropy)
    )
    before = replace(case.batch.old_stats, logprobs_BT=old, entropy_BT=entropy)
    batch = replace(case.batch, loss_mask_BT=mask, advantages_BT=advantages, old=before, num_tokens=int(mask.sum()))
    return replace(case, batch=batch, stats=replace(case.stats, logprobs_BT=logprobs))


def listed(case: Case) -> published.Batch:
    batch, old = case.batch, case.batch.old_stats
    columns = (case.stats.logprobs_BT, old.logprobs_BT, batch.advantages_BT, old.entropy_BT)
    rows = []
    for row, mask in enumerate(batch.loss_mask_BT):
        values = [tensor[row, mask].detach().double().tolist() for tensor in columns]
        rows.append([Token(*numbers) for numbers in zip(*values, strict=True)])
    return rows


def loss_value(case: Case, surrogate, turns, reduction: Reduction) -> float:
    dials = fold(turns, surrogate.neutral_dials(case.batch), case.batch, case.stats)
    return float(token_loss(dials, surrogate(dials, case.batch, case.stats), case.batch, reduction, CONSTANT))


def turn_of(intervention, case: Case, surrogate, before=()):
    """The turn on this micro-batch, after `before`, in a later update of the step."""
    dials = fold(before, surrogate.neutral_dials(case.batch), case.batch, case.stats)
    view = replace(case.view(), dials=dials)
    return intervention.prepare(Population((view,), lambda value: [value], 0, 1))


def flat(rows: list[list[float]]) -> np.ndarray:
    return np.array([value for row in rows for value in row])


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("bounds", [(0.2, 0.2, None), (0.2, 0.28, 10.0), (0.2, 0.28, 3.0), (0.99, 5.0, 10.0)])
def test_vanilla_clipped_loss(seed, reduction, bounds, extreme):
    case = hard_case(seed, extreme=extreme)
    low, high, dual = bounds
    losses = [[published.vanilla(token, low, high, dual) for token in row] for row in listed(case)]
    expected = published.aggregate(losses, reduction, CONSTANT)
    surrogate = PpoClip(clip_ratio_low=low, clip_ratio_high=high, dual_clip=dual)
    actual = loss_value(case, surrogate, [], reduction)
    assert actual == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", ["exponential", "linear"])
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_released_steer(seed, dtype, mode, extreme, size):
    """Also with advantages so small that the floor of 0.02 sets the scale."""
    preset, case = PRESET_OF[mode], hard_case(seed, dtype, extreme=extreme)
    case = replace(case, batch=replace(case.batch, advantages_BT=size * case.batch.advantages_BT))
    surrogate, batch = PpoClip(**DAPO), listed(case)
    turn = turn_of(Steer(**RELEASED[preset]), case, surrogate)
    weights = published.steer_weights(batch, mode, 0.8, 1.2)
    dials = turn(surrogate.neutral_dials(case.batch), case.batch, case.stats)
    close(dials.weight_BT[case.batch.loss_mask_BT].numpy(), flat(weights))
    losses = [
        [w * published.vanilla(token, 0.2, 0.28, 10.0) for w, token in zip(ws, row, strict=True)]
        for ws, row in zip(weights, batch, strict=True)
    ]
    expected = published.aggregate(losses, "token_mean", CONSTANT)
    assert loss_value(case, surrogate, [turn], "token_mean") == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("mode", ["exponential", "linear"])
def test_released_steer_without_any_advantage(mode):
    """exponential: 1, by the floor; linear: the midpoint of 0.8 and 1.2."""
    case = hard_case(0)
    zero = replace(case, batch=replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT)))
    surrogate = PpoClip(**DAPO)
    turn = turn_of(Steer(**RELEASED[PRESET_OF[mode]]), zero, surrogate)
    dials = turn(surrogate.neutral_dials(zero.batch), zero.batch, zero.stats)
    close(dials.weight_BT.numpy(), 1.0)
    close(flat(published.steer_weights(listed(zero), mode, 0.8, 1.2)), 1.0)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("share", "coef"), [(0.002, 1.0), (0.2, 0.1), (1.0, 1.0)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_kl_cov(seed, share, coef, reduction, extreme):
    case = hard_case(seed, extreme=extreme)
    surrogate = PpoClip()
    method = KlCov(kl_cov_ratio=share, kl_coef=coef, scope="micro_batch")
    expected = published.aggregate(published.kl_cov_losses(listed(case), share, coef), reduction, CONSTANT)
    actual = loss_value(case, surrogate, [turn_of(method, case, surrogate)], reduction)
    assert actual == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bounds", [(0.2, 0.2), (1.0, 1.0)])
@pytest.mark.parametrize(("share", "window"), [(2e-4, (0.1, 5.0)), (0.05, (0.05, 1.0)), (1.0, (0.1, 5.0))])
def test_clip_cov(seed, bounds, share, window, extreme):
    """The draw is ours, so: how many are drawn, that all are eligible, and the loss without them."""
    case, surrogate = hard_case(seed, extreme=extreme), PpoClip()
    batch, (low, high) = listed(case), bounds
    higher = ClipHigher(clip_ratio_low=low, clip_ratio_high=high).apply
    method = ClipCov(clip_cov_ratio=share, clip_cov_lb=window[0], clip_cov_ub=window[1], scope="micro_batch")
    turns = [higher, turn_of(method, case, surrogate, [higher])]
    dials = fold(turns, surrogate.neutral_dials(case.batch), case.batch, case.stats)
    dropped = dials.weight_BT[case.batch.loss_mask_BT].numpy() == 0
    eligible = flat(published.clip_cov_eligible(batch, low, high, window)).astype(bool)
    assert not (dropped & ~eligible).any()
    assert dropped.sum() == min(max(1, int(share * len(dropped))), eligible.sum()) > 0
    losses = flat([[published.vanilla(token, low, high, None) for token in row] for row in batch])
    expected = losses[~dropped].sum() / len(losses)
    assert loss_value(case, surrogate, turns, "token_mean") == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("bounds", [(3e-4, 4e-4), (0.2, 0.28), (inf, inf)])
def test_gspo(seed, reduction, bounds, extreme):
    case = hard_case(seed, extreme=extreme)
    losses = published.gspo_losses(listed(case), *bounds)
    expected = published.aggregate(losses, reduction, CONSTANT)
    surrogate = Gspo(clip_ratio_low=bounds[0], clip_ratio_high=bounds[1])
    assert loss_value(case, surrogate, [], reduction) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def centred(rewards, _lengths):
    return rewards - rewards.mean(axis=1, keepdims=True)


ESTIMATORS = {
    "grpo": (Grpo(), lambda r, n: credit.grpo(r, 1e-6, 1)),
    "grpo_population": (Grpo(std="population", epsilon=1e-4), lambda r, n: credit.grpo(r, 1e-4, 0)),
    "dr_grpo": (DrGrpo(), centred),
    "rloo": (Rloo(), lambda r, n: credit.rloo(r)),
    "opo": (Opo(), credit.opo),
    "gpg": (Gpg(), lambda r, n: credit.gpg(r)),
    "gpg_verl": (Gpg(alpha="nonzero_rewards"), lambda r, n: r.size / np.count_nonzero(r) * centred(r, n)),
    "reinforce_pp": (ReinforcePp(), lambda r, n: credit.token_whitened(r, n, 1e-8)),
    "reinforce_pp_baseline": (ReinforcePpBaseline(), lambda r, n: credit.token_whitened(centred(r, n), n, 1e-8)),
    "grpo_passk": (GrpoPassk(), lambda r, n: credit_b.best_lead(r, 1e-6)),
    "quantile": (Quantile(), lambda r, n: credit_b.quantile(r, 0.4, 1e-6)),
    "pass_at_k": (PassAtK(k=3), lambda r, n: credit_b.pass_at_k(r > 0, 3, 1e-6)),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", ["binary", "signed", "graded"])
@pytest.mark.parametrize("size", [4, 7, 8])
def test_advantage_estimators(name, kind, size):
    """Groups all right, all wrong, one right, one wrong, and random ones; responses of 1 to 40 tokens."""
    rng = np.random.default_rng(size)
    right = np.concatenate([np.tri(size + 1, size, -1), rng.integers(0, 2, (12, size))])
    rewards = {"binary": right, "signed": 2 * right - 1, "graded": right - np.round(rng.random(right.shape), 2)}[kind]
    rewards, lengths = rewards.astype(np.float32).astype(np.float64), rng.integers(1, 41, right.shape)
    estimator, oracle = ESTIMATORS[name]
    actual = estimator(torch.from_numpy(rewards).float(), torch.from_numpy(lengths))
    assert actual.dtype == torch.float32
    np.testing.assert_allclose(actual.numpy(), oracle(rewards, lengths), rtol=1e-6, atol=1e-6)
