from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.gtpo import Gtpo
from tests.batches import make_case
from tests.intervention.populations import (
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    groups_of,
    turn_of,
    turned,
)
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *gtpo: .*?(?=\n\n)", Gtpo.__doc__, re.DOTALL | re.MULTILINE).group())


def seeing(method, values):
    method = method.model_copy()
    groups = groups_of(values)
    assert method.reshape(groups) is groups
    return method


def with_entropies(rows, *, prompts=None):
    """A case whose rows have these old entropies, after prompts of these lengths."""
    prompts = prompts or [0] * len(rows)
    length = max(p + len(r) for p, r in zip(prompts, rows, strict=True))
    case = make_case(rows=len(rows), length=max(length, 5), drift=0.0)
    entropy, mask = torch.zeros(case.batch.loss_mask_BT.shape), torch.zeros_like(case.batch.loss_mask_BT)
    for index, (start, row) in enumerate(zip(prompts, rows, strict=True)):
        entropy[index, start : start + len(row)] = torch.tensor(row)
        mask[index, start : start + len(row)] = True
    old = replace(case.batch.old_stats, entropy_BT=entropy)
    return replace(case, batch=replace(case.batch, loss_mask_BT=mask, old=old, num_tokens=int(mask.sum())))


def advantages(dials, case):
    return [values[mask].tolist() for values, mask in zip(dials.advantages_BT, case.batch.loss_mask_BT, strict=True)]


def test_presets_stand_in_the_docstring():
    assert Gtpo(**PRESETS["gtpo"]) == Gtpo()
    assert Gtpo(**PRESETS["port"]).entropy_max == 0.28


def test_golden_two_right_one_wrong():
    # right: at t = 0 shares 1/4, 3/4 of d = 2, at t = 1 only the first is left: r̃ − 1 = .05, .15, .1; wrong: all equal.
    case = with_entropies([[1.0, 1.0], [3.0], [2.0, 5.0]], prompts=[1, 0, 2])
    dials = turned(seeing(Gtpo(alpha_2=0.1), [[1, 1, 0]]), case)
    low, high = -(1.5**0.5), 1.5**0.5
    assert advantages(dials, case)[0] == pytest.approx([low, 0], abs=1e-4)
    assert advantages(dials, case)[1] == pytest.approx([high], abs=1e-4)
    assert advantages(dials, case)[2] == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("normalise", ["separate", "together"])
@pytest.mark.parametrize("seed", range(3))
def test_oracle(normalise, seed):
    rng = np.random.default_rng(seed)
    values = [[1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [1] * 5, [0] * 5]
    rows = [[float(h) for h in rng.exponential(size=int(rng.integers(1, 9)))] for _ in range(20)]
    case = with_entropies(rows, prompts=[int(p) for p in rng.integers(0, 4, 20)])
    method = Gtpo(alpha_1=0.7, alpha_2=0.4, entropy_min=0.1, entropy_max=1.5, normalise=normalise)
    actual = advantages(turned(seeing(method, values), case), case)
    held = [[min(max(np.float32(h).item(), 0.1), 1.5) for h in row] for row in rows]
    expected = []
    for index, group in enumerate(values):
        expected += oracle.gtpo(
            held[5 * index : 5 * index + 5], [v > 0.5 for v in group], 0.7, 0.4, together=normalise == "together"
        )
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_separate_means_make_right_tokens_negative_and_alphas_cancel():
    rng = np.random.default_rng(5)
    case = with_entropies([[float(h) for h in rng.exponential(size=20)] for _ in range(8)])
    values = [[1, 1, 1, 1, 0, 0, 0, 0]]
    separate = torch.tensor(advantages(turned(seeing(Gtpo(), values), case), case))
    assert separate[:4].mean().item() == pytest.approx(0, abs=1e-6)
    assert 0.2 < (separate[:4] < 0).float().mean().item() < 0.8
    scaled = torch.tensor(advantages(turned(seeing(Gtpo(alpha_1=0.3, alpha_2=0.9), values), case), case))
    torch.testing.assert_close(scaled, separate, rtol=1e-4, atol=1e-4)
    together = torch.tensor(advantages(turned(seeing(Gtpo(normalise="together"), values), case), case))
    assert (together[:4] > 0).all()
    assert (together[4:] < 0).all()


def test_high_entropy_is_rewarded_where_right_and_low_entropy_punished_where_wrong():
    case = with_entropies([[0.1], [1.0], [0.1], [1.0]])
    right_low, right_high, wrong_low, wrong_high = (
        row[0] for row in advantages(turned(seeing(Gtpo(), [[1, 1, 0, 0]]), case), case)
    )
    assert right_high > 0 > right_low
    assert wrong_high > 0 > wrong_low


def test_only_the_advantage_is_turned_and_entropy_is_detached():
    case = make_case(seed=1, drift=0.0)
    dials = turned(seeing(Gtpo(), [[1, 0, 1], [0, 1, 1]]), case)
    assert_turns_only(dials, case, "advantages_BT")
    assert_detached(dials)
    unit = replace(case.view().dials, advantages_BT=case.batch.loss_mask_BT.float())
    torch.testing.assert_close(gradient_of(dials, case), gradient_of(unit, case) * dials.advantages_BT[..., None])


@pytest.mark.parametrize("values", [[[1, 1, 1, 1]] * 2, [[0, 0, 0, 0]] * 2, [[1, 0, 0, 0], [0.0] * 4]])
def test_alpha_2_zero_with_separate_means_or_a_single_token_leaves_no_signal(values):
    case = make_case(seed=2, rows=8)
    dials = turned(seeing(Gtpo(alpha_2=0.0), values), case)
    torch.testing.assert_close(dials.advantages_BT, torch.zeros_like(dials.advantages_BT), rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalise", ["separate", "together"])
def test_it_knows_neither_micro_batches_nor_ranks(normalise):
    method = seeing(Gtpo(normalise=normalise), [[1, 0, 1, 0], [1, 1, 0, 1]])
    assert method.population_scope == "step"
    assert_same_in_every_cut(lambda: seeing(method, [[1, 0, 1, 0], [1, 1, 0, 1]]), make_case(seed=3, rows=8, drift=0.4))


def test_an_update_of_the_step_finds_its_own_rows():
    case = make_case(seed=4, rows=6)
    turn = turn_of(seeing(Gtpo(), [[1, 0, 1], [0, 1, 0]]), [case])
    dials = turn(case.view().dials, case.batch, case.stats)
    flipped = replace(case.batch, row_B=case.batch.row_B.flip(0), loss_mask_BT=case.batch.loss_mask_BT.flip(0))
    again = turn(case.view().dials, flipped, case.stats)
    assert torch.equal(again.advantages_BT, dials.advantages_BT.flip(0))


def test_edges_stay_finite():
    for values in ([[1, 0, 1], [0, 1, 0]], [[1] * 3] * 2, [[0] * 3] * 2, [[1], [0], [1], [0], [1], [0]]):
        for normalise in ("separate", "together"):
            assert_finite_at_the_edges(lambda v=values, n=normalise: seeing(Gtpo(normalise=n), v))


def test_what_it_refuses():
    with pytest.raises(ValidationError, match="entropy_max must not be below"):
        Gtpo(entropy_min=0.5, entropy_max=0.2)
    with pytest.raises(RuntimeError, match="gtpo has not seen"):
        turned(Gtpo(), make_case())


def test_statistics_are_gathered_once_a_step():
    case, calls = make_case(seed=5), []

    def all_gather(value):
        calls.append(value)
        return [value]

    method = seeing(Gtpo(), [[1, 0, 1], [0, 1, 0]])
    turns = [turn_of(method, [case], update=update, all_gather=all_gather) for update in range(3)]
    assert turns[0] is turns[1] is turns[2]
    once = len(calls)
    method.reshape(groups_of([[1, 1, 1], [0, 1, 0]]))
    again = turn_of(method, [case], step=1, all_gather=all_gather)
    assert len(calls) == 2 * once
    one, other = (turn(case.view().dials, case.batch, case.stats).advantages_BT for turn in (turns[0], again))
    assert not torch.equal(one, other)
