from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import yaml

from steerctl.intervention.w_reinforce import WReinforce
from steerctl.loss.reinforce import Reinforce
from tests.batches import make_case
from tests.intervention.populations import (
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    groups_of,
    loss_of,
    turned,
)

PRESETS = yaml.safe_load(
    re.search(r"^ *w_reinforce: .*?(?=\n\n)", WReinforce.__doc__, re.DOTALL | re.MULTILINE).group()
)
VALUES = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]


def seeing(method, values=VALUES):
    """A fresh one that has seen groups with these verdicts."""
    method = method.model_copy()
    groups = groups_of(values)
    assert method.reshape(groups) is groups
    return method


def by_row(dials, case):
    """The advantage of each row, which all its tokens share."""
    rows = [values[mask] for values, mask in zip(dials.advantages_BT, case.batch.loss_mask_BT, strict=True)]
    assert all((row == row[0]).all() for row in rows)
    return [row[0].item() for row in rows]


@pytest.mark.parametrize(
    ("preset", "advantages"),
    [
        ("w_reinforce", [0.1, -1, -1, 0.1, 0.1, 0.1]),
        ("psr", [1, 0, 0, 1, 1, 1]),
        ("nsr", [0, -1, -1, 0, 0, 0]),
    ],
)
def test_golden_presets(preset, advantages):
    case = make_case(seed=1)
    dials = turned(seeing(WReinforce(**PRESETS[preset])), case)
    assert by_row(dials, case) == pytest.approx(advantages)
    assert_turns_only(dials, case, "advantages_BT", "weight_BT")
    assert_detached(dials)


@pytest.mark.parametrize("preset", ["psr", "nsr"])
def test_selected_is_the_loss_of_the_rows_that_are_kept(preset):
    case = make_case(seed=2, drift=0.3)
    method = WReinforce(**PRESETS[preset])
    dials = turned(seeing(method), case)
    kept = case.batch.loss_mask_BT & (dials.advantages_BT != 0)
    sign = 1.0 if preset == "psr" else -1.0
    shrunk = replace(case.batch, loss_mask_BT=kept, num_tokens=int(kept.sum()), advantages_BT=sign * kept)
    shrunk = replace(case, batch=shrunk)
    torch.testing.assert_close(loss_of(dials, case), loss_of(shrunk.view().dials, shrunk))
    torch.testing.assert_close(gradient_of(dials, case), gradient_of(shrunk.view().dials, shrunk))
    whole = turned(seeing(method.model_copy(update={"denominator": "all"})), case)
    share = int(kept.sum()) / case.batch.num_tokens
    torch.testing.assert_close(gradient_of(whole, case), share * gradient_of(dials, case))
    assert (whole.weight_BT == 1).all()


def test_it_is_the_plain_policy_gradient_of_the_verdicts():
    case = make_case(seed=3, drift=0.0)
    dials = turned(seeing(WReinforce()), case)
    signs = torch.tensor([0.1, -1, -1, 0.1, 0.1, 0.1])[:, None].expand_as(dials.weight_BT)
    surrogate = Reinforce()(replace(dials, advantages_BT=signs), case.batch, case.stats)
    expected = -surrogate[case.batch.loss_mask_BT].mean()
    torch.testing.assert_close(
        gradient_of(dials, case), torch.autograd.grad(expected, case.logits_BTV, retain_graph=True)[0]
    )


def test_a_verdict_in_between_is_in_between():
    case = make_case(seed=4)
    method = seeing(WReinforce(positive_coef=0.5), [[0.25] * 3, [0.0] * 3])
    assert by_row(turned(method, case), case)[0] == pytest.approx(0.25 * 0.5 - 0.75)


@pytest.mark.parametrize("values", [[[1.0] * 3] * 2, [[0.0] * 3] * 2])
@pytest.mark.parametrize("preset", ["psr", "nsr", "w_reinforce"])
def test_groups_that_are_all_alike(values, preset):
    case = make_case(seed=5)
    dials = turned(seeing(WReinforce(**PRESETS[preset]), values), case)
    assert len(set(by_row(dials, case))) == 1
    assert (dials.weight_BT == 1).all()
    assert torch.isfinite(loss_of(dials, case))


@pytest.mark.parametrize("preset", PRESETS)
def test_it_knows_neither_micro_batches_nor_ranks(preset):
    method = seeing(WReinforce(**PRESETS[preset]), [[1.0, 0, 0, 1], [0, 1.0, 0, 1]])
    assert method.population_scope == ("micro_batch" if preset == "w_reinforce" else "step")
    assert_same_in_every_cut(lambda: method, make_case(seed=6, rows=8))


def test_a_padding_row_has_no_advantage():
    case = make_case(seed=7, rows=1)
    nothing = torch.zeros_like(case.batch.loss_mask_BT)
    batch = replace(case.batch, row_B=torch.tensor([-1]), loss_mask_BT=nothing)
    assert (turned(seeing(WReinforce()), replace(case, batch=batch)).advantages_BT == 0).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_edges_stay_finite(preset):
    assert_finite_at_the_edges(lambda: seeing(WReinforce(**PRESETS[preset])))


def test_it_must_have_seen_the_groups():
    with pytest.raises(RuntimeError, match="w_reinforce has not seen the groups"):
        turned(WReinforce(), make_case())
