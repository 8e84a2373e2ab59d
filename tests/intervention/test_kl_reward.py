from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.advantage.dr_grpo import DrGrpo
from steerctl.advantage.grpo import Grpo
from steerctl.intervention.kl_reward import KlReward
from tests.batches import make_case
from tests.intervention.populations import (
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    groups_of,
    turn_of,
    turned,
)
from tests.intervention.test_gtpo import advantages
from tests.oracles import intervention_a as oracle

REWARDS = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
ESTIMATOR = {"std": Grpo(), "mean": DrGrpo()}


def seeing(method, rewards=REWARDS):
    method = KlReward(**method.model_dump())
    groups = groups_of(rewards)
    assert method.reshape(groups) is groups
    return method


def by_row(method, case, step=0):
    turn = turn_of(method, [case], step=step)
    rows = advantages(turn(case.view().dials, case.batch, case.stats), case)
    assert all(row == [row[0]] * len(row) for row in rows)
    return [row[0] for row in rows]


def far_from_the_reference(case, distances):
    """The case with these log-ratios at every token of each row."""
    distances = torch.tensor(distances)[:, None]
    return replace(case, batch=replace(case.batch, ref_logprobs_BT=case.batch.old_stats.logprobs_BT - distances))


def test_golden():
    case = make_case(rows=2, length=4)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    case = far_from_the_reference(replace(case, batch=replace(case.batch, loss_mask_BT=mask)), [1.0, 0.25])
    # R' = 1 − .1·2 = .8 and 1 − .1·1 = .9
    assert by_row(seeing(KlReward(kl_coef=0.1, normalise="mean"), [[1, 1]]), case) == pytest.approx([-0.05, 0.05])
    std = by_row(seeing(KlReward(kl_coef=0.1), [[1, 1]]), case)
    assert std == pytest.approx([-(0.5**0.5), 0.5**0.5], rel=1e-4)


@pytest.mark.parametrize("normalise", ["std", "mean"])
@pytest.mark.parametrize("seed", range(3))
def test_oracle(normalise, seed):
    case = make_case(seed=seed, drift=0.6)
    old, ref = (
        [row[mask].double().tolist() for row, mask in zip(tensor, case.batch.loss_mask_BT, strict=True)]
        for tensor in (case.batch.old_stats.logprobs_BT, case.batch.ref_logprobs_BT + torch.randn(6, 1))
    )
    ref_BT = case.batch.ref_logprobs_BT.clone()
    for index, row in enumerate(ref):
        ref_BT[index, case.batch.loss_mask_BT[index]] = torch.tensor(row)
    case = replace(case, batch=replace(case.batch, ref_logprobs_BT=ref_BT))
    shaped = oracle.kl_rewards([r for group in REWARDS for r in group], old, ref, 0.3)
    expected = ESTIMATOR[normalise](torch.tensor(shaped).reshape(2, 3), torch.ones(2, 3)).flatten()
    actual = by_row(seeing(KlReward(kl_coef=0.3, normalise=normalise)), case)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalise", ["std", "mean"])
@pytest.mark.parametrize("rewards", [REWARDS, [[1.0] * 3, [0.0] * 3], [[1.0], [0.0], [1.0], [0.5], [0.0], [1.0]]])
def test_coefficient_zero_is_the_estimator(normalise, rewards):
    case = make_case(seed=1)
    expected = ESTIMATOR[normalise](torch.tensor(rewards), torch.ones(len(rewards), len(rewards[0]))).flatten()
    actual = by_row(seeing(KlReward(kl_coef=0.0, normalise=normalise), rewards), case)
    torch.testing.assert_close(torch.tensor(actual), expected, rtol=1e-5, atol=1e-5)


def test_the_controller_climbs_where_the_policy_is_too_far_and_survives_a_checkpoint():
    case = make_case(seed=2)
    distances = [0.5, 0.11, 0.1, 0.02, 0.09]
    method = seeing(KlReward(kl_coef=0.2, kl_target=0.1, kl_horizon=60.0, normalise="mean"))
    expected = oracle.kl_controller(distances, 0.2, 0.1, 60.0, 6)
    for step, distance in enumerate(distances):
        if step == 3:
            state = json.loads(json.dumps(dict(method.state_dict())))
            method = seeing(method)
            method.load_state_dict(state)
        assert method.state_dict()["coef"] == pytest.approx(expected[step], rel=1e-5)
        method.reshape(groups_of(REWARDS))
        for _update in range(3):
            by_row(method, far_from_the_reference(case, [distance] * 6), step)
    assert expected[1] == pytest.approx(0.2 * 1.02)
    fixed = seeing(KlReward(kl_coef=0.2))
    by_row(fixed, far_from_the_reference(case, [9.0] * 6))
    assert fixed.state_dict() == {"coef": 0.2}


def test_a_common_distance_cancels_only_in_responses_of_equal_length():
    case = make_case(seed=3)
    even = replace(case.batch, loss_mask_BT=torch.ones_like(case.batch.loss_mask_BT))
    near = replace(case, batch=even)
    plain = by_row(seeing(KlReward(kl_coef=0.0)), near)
    assert by_row(seeing(KlReward(kl_coef=0.1)), far_from_the_reference(near, [2.0] * 6)) == pytest.approx(plain)
    assert by_row(seeing(KlReward(kl_coef=0.1)), far_from_the_reference(case, [2.0] * 6)) != pytest.approx(plain)


def test_only_the_advantage_is_turned():
    case = make_case(seed=4)
    dials = turned(seeing(KlReward(kl_coef=0.1)), case)
    assert_turns_only(dials, case, "advantages_BT")
    assert_detached(dials)


def test_it_knows_neither_micro_batches_nor_ranks():
    method = KlReward(kl_coef=0.5, kl_target=0.1, kl_horizon=10.0)
    case = make_case(seed=5, rows=8)
    assert method.population_scope == "step"
    assert_same_in_every_cut(lambda: seeing(method, [[1, 0, 1, 0], [1.0] * 4]), case, step=2)


def test_edges_stay_finite():
    for rewards in (REWARDS, [[1.0] * 3] * 2, [[1.0]] * 6):
        for normalise in ("std", "mean"):
            assert_finite_at_the_edges(
                lambda r=rewards, n=normalise: seeing(KlReward(kl_coef=1.0, kl_target=0.1, normalise=n), r)
            )


def test_it_declares_and_demands_the_reference_and_the_groups():
    case = make_case(seed=6)
    assert KlReward.needs == {"reference"}
    with pytest.raises(RuntimeError, match="no reference log-probabilities"):
        turned(seeing(KlReward()), replace(case, batch=replace(case.batch, ref_logprobs_BT=None)))
    with pytest.raises(RuntimeError, match="kl_reward has not seen the groups"):
        turned(KlReward(), case)
