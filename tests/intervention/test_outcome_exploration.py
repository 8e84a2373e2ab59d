from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.intervention._remarks import Surroundings, unread
from steerctl.intervention.outcome_exploration import OutcomeExploration
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    groups_of,
    turned,
)
from tests.oracles import intervention_b as oracle

BONUSES = ["ucb", "ucb_mean", "ucb_con", "batch"]
ANSWERS = [["4", "4", None], ["7", "8", "7"]]


def answered(answers_PG, values_PG=None, names=None):
    """Groups whose verdicts read these answers."""
    values_PG = [[0.0] * len(answers) for answers in answers_PG] if values_PG is None else values_PG
    return [
        replace(
            group,
            verdicts=tuple(replace(v, answer=a) for v, a in zip(group.verdicts, answers, strict=True)),
        )
        for group, answers in zip(groups_of(values_PG, names=names), answers_PG, strict=True)
    ]


def seeing(method, answers=ANSWERS, values=None):
    method = OutcomeExploration(**method.model_dump())
    groups = answered(answers, values)
    assert method.reshape(groups) is groups
    return method


def visit(method, answers, name="p", values=None):
    method.reshape(answered([answers], None if values is None else [values], names=[name]))
    return method._bonus_R.tolist()


def test_golden():
    method = OutcomeExploration()
    assert visit(method, ["4", "4", "5", None]) == [0.5] * 4  # never seen: 1 − ½
    # seen twice, once, once
    assert visit(method, ["4", "5", None, "6"]) == pytest.approx([0.5**0.5 - 0.5, 0.5, 0.5, 0.5])
    assert visit(method, ["4", "4", "4", "4"]) == pytest.approx([3**-0.5 - 0.5] * 4)
    assert visit(method, ["4", "5", "5", "5"]) == pytest.approx([7**-0.5 - 0.5] + [2**-0.5 - 0.5] * 3)
    assert visit(method, ["4"], name="other") == [0.5]
    assert visit(OutcomeExploration(bonus="batch"), ["4", "4", "4", "5"]) == [-0.5, -0.5, -0.5, 0]
    assert sum(visit(OutcomeExploration(bonus="ucb_mean"), ["4", "4", "5"])) == pytest.approx(0)


def test_an_answer_seen_more_than_four_times_is_discouraged():
    method = OutcomeExploration()
    signs = [np.sign(visit(method, ["4"])[0]) for _ in range(7)]
    assert signs == [1, 1, 1, 1, 0, -1, -1]


@pytest.mark.parametrize("bonus", BONUSES)
@pytest.mark.parametrize("seed", range(3))
def test_oracle(bonus, seed):
    rng = np.random.default_rng(seed)
    method, history = OutcomeExploration(bonus=bonus, baseline=0.3), []
    for _ in range(8):
        answers = [None if a == 0 else str(a) for a in rng.integers(0, 4, 6)]
        np.testing.assert_allclose(visit(method, answers), oracle.exploration(answers, history, bonus, 0.3))
        history += answers


def test_bonuses_reach_their_rows_and_only_advantages_turn():
    case = make_case(seed=1)
    dials = turned(seeing(OutcomeExploration(bonus="batch", coef=0.5)), case)
    assert_turns_only(dials, case, "advantages_BT")
    assert_detached(dials)
    added = (dials.advantages_BT - case.batch.advantages_BT).double()
    expected = torch.tensor([-1 / 3, -1 / 3, 0, -1 / 3, 0, -1 / 3])[:, None] * 0.5 * case.batch.loss_mask_BT
    torch.testing.assert_close(added, expected.double(), atol=1e-6, rtol=0)


def test_it_adds_to_what_earlier_interventions_made_of_the_advantages():
    case = make_case(seed=2)
    dials = replace(case.view().dials, advantages_BT=3 * case.batch.advantages_BT)
    method = seeing(OutcomeExploration(bonus="ucb"))
    added = turned(method, case, dials).advantages_BT - dials.advantages_BT
    torch.testing.assert_close(added, 0.1 * case.batch.loss_mask_BT.float(), atol=1e-6, rtol=0)


def test_right_answers_can_be_spared():
    method = OutcomeExploration(bonus="batch", applies_to="wrong")
    assert visit(method, ["4", "4", "5", "5"], values=[1.0, 1.0, 0.0, 0.0]) == [0, 0, -0.25, -0.25]


def test_counts_survive_a_checkpoint():
    through, resumed = OutcomeExploration(), OutcomeExploration()
    for answers in (["4", "4", None], ["5", "4", "4"]):
        visit(through, answers)
    resumed.load_state_dict(json.loads(json.dumps(dict(through.state_dict()))))
    assert through.state_dict() == {"counts": {"p": {"4": 4, "": 1, "5": 1}}}
    assert visit(resumed, ["4", None]) == visit(through, ["4", None]) != visit(OutcomeExploration(), ["4", None])
    assert resumed.state_dict() == through.state_dict()


def test_coefficient_zero_is_the_baseline_bit_for_bit():
    for bonus in BONUSES:
        assert_baseline(seeing(OutcomeExploration(coef=0.0, bonus=bonus)), make_case(seed=3, drift=0.5))


def test_it_knows_neither_micro_batches_nor_ranks():
    case = make_case(seed=4, rows=8, drift=0.5)
    four = [["1", "1", "2", None], ["3", "3", "3", "4"]]
    assert_same_in_every_cut(lambda: seeing(OutcomeExploration(bonus="batch"), four), case)


@pytest.mark.parametrize("bonus", BONUSES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_edges_stay_finite(bonus, value):
    alike = [["1"] * 3, [None] * 3]
    assert_finite_at_the_edges(lambda: seeing(OutcomeExploration(bonus=bonus), alike, [[value] * 3] * 2))


def test_it_must_have_seen_the_groups():
    with pytest.raises(RuntimeError, match="outcome_exploration has not seen the groups"):
        turned(OutcomeExploration(), make_case())


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert all(list(OutcomeExploration(bonus=bonus).remarks(around)) == [] for bonus in BONUSES)
    assert "coef 0" in next(OutcomeExploration(coef=0.0).remarks(around))
    assert "nothing to compare" in next(OutcomeExploration(bonus="batch").remarks(replace(around, group_size=1)))
    assert list(unread(OutcomeExploration(bonus="ucb", baseline=0.2))) == ["baseline plays no part with bonus ucb"]
