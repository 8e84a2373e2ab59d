from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.rlrt import Rlrt
from steerctl.rollout.teacher import Teacher
from steerctl.run.asides import with_hint
from steerctl.run.step import run_step
from steerctl.types import Message, Problem
from tests.batches import cut, make_case
from tests.intervention.populations import (
    assert_detached,
    assert_turns_only,
    edge_cases,
    gradient_of,
    groups_of,
    joined,
    loss_of,
    turned,
)
from tests.run.test_step import parts

PRESETS = yaml.safe_load(re.search(r"^ *rlrt: .*?(?=\n\n)", Rlrt.__doc__, re.DOTALL | re.MULTILINE).group())
VERDICTS = [[1, 0, 1], [0, 1, 1]]


def taught(case, seed=0):
    """The case with a teacher that is a random distance away."""
    gap = torch.randn(case.batch.loss_mask_BT.shape, generator=torch.Generator().manual_seed(seed))
    teacher_BT = torch.where(case.batch.loss_mask_BT, (case.batch.old_stats.logprobs_BT + 1.5 * gap).clamp(max=0), 0.0)
    return replace(case, batch=replace(case.batch, teacher_logprobs_BT=teacher_BT))


def rlrt(**settings):
    there = Rlrt(**settings)
    there.reshape(groups_of(VERDICTS))
    return there


CASE = taught(make_case(seed=1, drift=0.5, dtype=torch.float64))


@pytest.mark.parametrize("right_only", [True, False])
def test_oracle(right_only):
    dials = turned(rlrt(right_only=right_only, weight_min=0.3, weight_max=4.0), CASE)
    batch = CASE.batch
    expected = batch.advantages_BT.numpy().copy()
    right = np.array(VERDICTS).ravel() == 1
    for row, t in zip(*np.nonzero(batch.loss_mask_BT.numpy()), strict=True):
        if right_only and not right[row]:
            continue
        student, teacher = (
            float(each[row, t].exp()) for each in (batch.old_stats.logprobs_BT, batch.teacher_logprobs_BT)
        )
        quotient = student / teacher if expected[row, t] > 0 else teacher / student
        expected[row, t] *= min(max(quotient, 0.3), 4.0)
    np.testing.assert_allclose(dials.advantages_BT.numpy(), expected, rtol=1e-9)
    assert_turns_only(dials, CASE, "advantages_BT")
    assert_detached(dials)
    assert not np.allclose(expected, batch.advantages_BT.numpy())


@pytest.mark.parametrize(("advantage", "expected"), [(2.0, 2.0 * 0.5 / 0.2), (-2.0, -2.0 * 0.4)])
def test_golden(advantage, expected):
    """The student says it with 0.5, the teacher with 0.2."""
    mask = CASE.batch.loss_mask_BT
    old = replace(CASE.batch.old_stats, logprobs_BT=torch.where(mask, np.log(0.5), 0.0).double())
    batch = replace(
        CASE.batch,
        old=old,
        teacher_logprobs_BT=torch.where(mask, np.log(0.2), 0.0).double(),
        advantages_BT=torch.where(mask, advantage, 0.0).double(),
    )
    found = turned(rlrt(), replace(CASE, batch=batch)).advantages_BT
    assert found[0][mask[0]].tolist() == pytest.approx([expected] * int(mask[0].sum()))
    assert found[1][mask[1]].tolist() == [advantage] * int(mask[1].sum())  # wrong: left alone


def test_neutral_is_the_baseline_bit_for_bit():
    case = taught(make_case(seed=2, drift=0.5))
    dials = turned(rlrt(weight_min=1.0, weight_max=1.0), case)
    assert torch.equal(loss_of(dials, case), loss_of(case.view().dials, case))
    assert torch.equal(gradient_of(dials, case), gradient_of(case.view().dials, case))


def test_a_teacher_that_agrees_changes_nothing():
    case = replace(CASE, batch=replace(CASE.batch, teacher_logprobs_BT=CASE.batch.old_stats.logprobs_BT))
    assert torch.equal(turned(rlrt(), case).advantages_BT, case.batch.advantages_BT)


def test_it_knows_no_micro_batches():
    there = rlrt()
    whole = turned(there, CASE)
    pieces, start = [], 0
    for piece in cut(CASE, [2, 1, 3]):
        rows = slice(start, start + len(piece.batch.row_B))
        teacher_BT = CASE.batch.teacher_logprobs_BT[rows]
        pieces.append(replace(piece, batch=replace(piece.batch, teacher_logprobs_BT=teacher_BT)))
        start = rows.stop
    parts_ = joined([turned(there, piece) for piece in pieces])
    assert torch.equal(parts_.advantages_BT, whole.advantages_BT)


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        for distance in (0, 1):
            extreme = torch.where(case.batch.loss_mask_BT, -1e4 * distance, 0.0)
            there = replace(case, batch=replace(case.batch, teacher_logprobs_BT=extreme))
            dials = turned(rlrt(right_only=False), there)
            assert torch.isfinite(dials.advantages_BT).all(), name
            assert torch.isfinite(gradient_of(dials, there)).all(), name
            assert (gradient_of(dials, there)[~case.batch.loss_mask_BT] == 0).all(), name


def test_in_the_loop_it_asks_the_teacher_once_and_micro_batches_do_not_matter():
    def table(tokens, interventions):
        hinted = {f"fake/{i}": (i, (i + 5) % 12) for i in range(10)}
        p = parts(interventions=interventions, micro_batch_tokens=tokens)
        p = replace(p, teacher=Teacher(hinted, tokens, "cpu") if interventions else None)
        run_step(p, 0, 0)
        return p.policy.table.detach()

    torch.testing.assert_close(table(8, [Rlrt()]), table(10_000, [Rlrt()]), rtol=0, atol=1e-6)
    assert not torch.equal(table(8, [Rlrt()]), table(8, []))


def test_the_hint_follows_the_question():
    turns = (Message("system", "s"), Message("user", "1+1?"), Message("assistant", "so"))
    hinted = with_hint(Problem("p", turns, "{2}", ""), " [{gold}]")
    assert hinted == (Message("system", "s"), Message("user", "1+1? [{2}]"), Message("assistant", "so"))


def test_what_it_refuses():
    with pytest.raises(ValidationError, match="must contain"):
        Rlrt(hint="no answer")
    with pytest.raises(RuntimeError, match="no log-probabilities of the teacher"):
        turned(rlrt(), make_case(seed=1))
    with pytest.raises(RuntimeError, match="reshape comes before"):
        turned(Rlrt(), CASE)


def test_presets_stand_in_the_docstring():
    assert {name: Rlrt(**preset).right_only for name, preset in PRESETS.items()} == {"rlrt": True, "ungated": False}
