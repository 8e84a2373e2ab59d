from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from steerctl.intervention.dcpo import Dcpo
from steerctl.loss.ppo_clip import PpoClip
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    groups_of,
    turned,
)
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *dcpo: .*?(?=\n\n)", Dcpo.__doc__, re.DOTALL | re.MULTILINE).group())
CLIP, SMOOTH = Dcpo(**PRESETS["dynamic_clip"]), Dcpo(**PRESETS["smooth_advantage"])


def fresh(method, rewards=((1.0, 0.0, 0.0), (0.0, 1.0, 1.0))):
    method = Dcpo(**method.model_dump())
    method.reshape(groups_of(rewards))
    return method


def visit(method, rewards, name="p"):
    """The advantages of one group of this problem."""
    groups = groups_of([rewards], names=[name])
    assert method.reshape(groups) is groups
    return method._advantages_R.tolist()


def bounds_at(method, logprob):
    case = make_case(rows=1)
    old = replace(case.batch.old_stats, logprobs_BT=torch.full_like(case.batch.advantages_BT, logprob))
    dials = turned(method, replace(case, batch=replace(case.batch, old=old)))
    return 1 - dials.clip_low_BT[0, 0].item(), 1 + dials.clip_high_BT[0, 0].item()


def test_presets_stand_in_the_docstring():
    assert Dcpo(**PRESETS["dcpo"]) == Dcpo()
    assert list(PRESETS) == ["dcpo", "run_dcpo", "dynamic_clip", "smooth_advantage"]


def test_golden_bounds():
    assert bounds_at(CLIP, 0.0) == pytest.approx((0.8, 0.5 + 0.5 * 1.8**0.5))  # 1.171
    assert bounds_at(CLIP, np.log(0.64)) == pytest.approx((0.5, 1.25), abs=1e-3)
    assert bounds_at(CLIP, -200.0) == (0.5, 10.0)
    free = Dcpo(clip_ratio_low=0.0, clip_ratio_high=0.0, smooth_advantage=False)
    assert bounds_at(free, -200.0) == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_oracle_bounds_and_the_equation_they_solve(seed):
    case = make_case(seed=seed, drift=1.0, rows=8, length=20)
    method = Dcpo(clip_ratio_low=0.1, clip_ratio_high=0.28, ratio_max=4.0, smooth_advantage=False)
    dials, mask = turned(method, case), case.batch.loss_mask_BT
    probs = case.batch.old_stats.logprobs_BT[mask].double().exp().numpy()
    expected = np.array([oracle.dcpo_bounds(p, 0.1, 0.28, 4.0) for p in probs])
    low, high = 1 - dials.clip_low_BT[mask].numpy(), 1 + dials.clip_high_BT[mask].numpy()
    np.testing.assert_allclose(low, expected[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(high, expected[:, 1], rtol=1e-5, atol=1e-6)
    inside = (high < 4) & (low > 0.5)
    assert inside.any()
    np.testing.assert_allclose(((high - 1) * high * probs)[inside], 0.28, rtol=1e-3)
    np.testing.assert_allclose(((1 - low) * low * probs)[inside], 0.1, rtol=1e-3)
    assert_turns_only(dials, case, "clip_low_BT", "clip_high_BT")
    assert_detached(dials)


def test_a_rare_token_keeps_its_gradient_where_the_usual_clip_takes_it():
    case = make_case(seed=3, drift=0.5, rows=20, length=30)
    plain = gradient_of(case.view().dials, case).abs().sum(-1)
    wide = gradient_of(turned(CLIP, case), case).abs().sum(-1)
    old, ratio = case.batch.old_stats.logprobs_BT, (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp()
    rescued = case.batch.loss_mask_BT & (case.batch.advantages_BT > 0) & (ratio > 1.2) & (ratio < 1.5) & (old < -2)
    assert rescued.any()
    assert (plain[rescued] == 0).all()
    assert (wide[rescued] > 0).all()


def test_golden_smooth_advantages():
    method = Dcpo()
    assert visit(method, (1.0, 0.0)) == pytest.approx([0.5**0.5, -(0.5**0.5)])
    # second visit, all right: A_new = 0, A_tot = (1 − .75)/.5 = .5, the smaller of .5/2 and .5/2
    assert visit(method, (1.0, 1.0)) == pytest.approx([0.25, 0.25])
    # third: mean ½, deviation √(6·¼/5) = .5477; A_new = 0; the smaller of A_tot/3 and 2A_tot/3
    assert visit(method, (0.0, 0.0)) == pytest.approx([-0.5 / 0.3**0.5 / 3] * 2)
    assert visit(method, (1.0, 1.0), name="other") == [0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_oracle_smooth_advantages(seed):
    rng = np.random.default_rng(seed)
    method, visits = Dcpo(), []
    for _ in range(12):
        rewards = tuple(float(r) for r in rng.choice([0.0, 1.0, -0.25], 8, p=[0.2, 0.7, 0.1]))
        visits.append(list(rewards))
        np.testing.assert_allclose(visit(method, rewards), oracle.dcpo_advantages(visits), rtol=1e-9, atol=1e-9)


def test_the_history_survives_a_checkpoint():
    through = Dcpo()
    for rewards in ((1.0, 0.0), (1.0, 1.0)):
        visit(through, rewards)
    resumed = Dcpo()
    resumed.load_state_dict(json.loads(json.dumps(dict(through.state_dict()))))
    assert through.state_dict() == {"history": {"p": [2, 4, 3, 3]}}
    assert visit(resumed, (0.0, 1.0)) == visit(through, (0.0, 1.0)) != visit(Dcpo(), (0.0, 1.0))
    assert resumed.state_dict() == through.state_dict()


@pytest.mark.parametrize("rewards", [((1.0,) * 3,) * 2, ((0.0,) * 3,) * 2, ((0.1,) * 3,) * 2])
def test_first_visits_to_groups_that_are_all_alike_give_no_signal(rewards):
    case = make_case(seed=5)
    assert (turned(fresh(SMOOTH, rewards), case).advantages_BT == 0).all()


def test_advantages_reach_their_rows():
    case = make_case(seed=6)
    dials = turned(fresh(SMOOTH), case)
    assert_turns_only(dials, case, "advantages_BT")
    expected = torch.tensor(oracle.dcpo_advantages([[1, 0, 0]]) + oracle.dcpo_advantages([[0, 1, 1]]))[:, None]
    torch.testing.assert_close(dials.advantages_BT, (case.batch.loss_mask_BT * expected).float())


def test_neutral_settings_are_the_baseline_bit_for_bit():
    assert_baseline(Dcpo(dynamic_clip=False, smooth_advantage=False), make_case(seed=7, drift=0.5))


def test_the_clip_does_nothing_on_the_first_update():
    case = make_case(seed=8, drift=0.0)
    dials, neutral, loss = turned(CLIP, case), case.view().dials, PpoClip()
    assert torch.equal(gradient_of(dials, case), gradient_of(neutral, case))
    assert torch.equal(loss(dials, case.batch, case.stats), loss(neutral, case.batch, case.stats))
    assert not torch.equal(gradient_of(turned(fresh(SMOOTH), case), case), gradient_of(neutral, case))


def test_it_knows_neither_micro_batches_nor_ranks():
    case = make_case(seed=9, rows=8, drift=0.5)
    assert Dcpo().population_scope == "micro_batch"
    assert_same_in_every_cut(lambda: fresh(Dcpo(), [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.5)]), case)


def test_edges_stay_finite():
    assert_finite_at_the_edges(lambda: fresh(Dcpo()))
    assert_finite_at_the_edges(lambda: fresh(Dcpo(clip_ratio_low=0.0, clip_ratio_high=0.0)))
    assert_finite_at_the_edges(lambda: fresh(Dcpo(), [(1e-200, 1.0, -1e8), (1e8, 1e8, 1e8)]))


def test_it_must_have_seen_the_groups():
    with pytest.raises(RuntimeError, match="dcpo has not seen the groups"):
        turned(Dcpo(), make_case())
