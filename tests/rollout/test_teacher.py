"""The teacher's log-probabilities against the fakes: the same response after another prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steerctl.rollout.collate import collate
from steerctl.rollout.teacher import Teacher
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict
from tests.fakes import FakePolicy


def groups(count=4, size=3):
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        problem = Problem(f"p{index}", (Message("user", "?"),), "1", "fake")
        lengths = rng.integers(1, 7, size)
        rollouts = tuple(
            Rollout(rng.integers(0, 12, n).astype(np.int32), np.zeros(n, np.float32), "", "stop", 0, 0) for n in lengths
        )
        verdicts = (Verdict(1.0, None, ""),) * size
        found.append(RolloutGroup(problem, (index, index + 1), rollouts, verdicts, (1.0,) * size))
    return found


HINTED = {f"p{index}": (index, index + 1, 3, 11 - index) for index in range(4)}


def updates(tokens, rank=0, ranks=1):
    return collate(groups(), torch.ones(4, 3), updates=2, rank=rank, ranks=ranks, micro_batch_tokens=tokens)


@pytest.mark.parametrize("tokens", [8, 10_000])
def test_oracle(tokens):
    policy = FakePolicy()
    logp = policy.table.detach().log_softmax(-1).numpy()
    taught = Teacher(HINTED, tokens, "cpu").taught(policy, groups(), updates(tokens))
    seen = set()
    for update in taught:
        for batch in update.micro_batches:
            for place, row in enumerate(batch.row_B.tolist()):
                group = groups()[row // 3]
                ids = group.rollouts[row % 3].token_ids_T.tolist()
                context = [HINTED[group.problem.id][-1], *ids[:-1]]
                found = batch.teacher_logprobs_BT[place]
                expected = [logp[before, token] for before, token in zip(context, ids, strict=True)]
                assert found[batch.loss_mask_BT[place]].tolist() == pytest.approx(expected, abs=1e-6)
                assert (found[~batch.loss_mask_BT[place]] == 0).all()
                seen.add(row)
    assert seen == set(range(12))


def test_without_a_difference_in_the_prompt_the_teacher_is_the_student():
    policy = FakePolicy()
    same = {group.problem.id: group.prompt_ids for group in groups()}
    for update in Teacher(same, 10_000, "cpu").taught(policy, groups(), updates(10_000)):
        for batch in update.micro_batches:
            torch.testing.assert_close(batch.teacher_logprobs_BT, policy.measure(batch).logprobs_BT.float())


def test_a_padding_row_has_none():
    one = [groups()[0]]
    (update,) = collate(one, torch.ones(1, 3), updates=1, rank=3, ranks=4, micro_batch_tokens=10_000)
    teacher = Teacher(HINTED, 10_000, "cpu")
    (taught,) = teacher.taught(FakePolicy(), one, [update])
    padding = [batch for batch in taught.micro_batches if -1 in batch.row_B.tolist()]
    assert padding
    assert all(float(batch.teacher_logprobs_BT.abs().sum()) == 0 for batch in padding)
