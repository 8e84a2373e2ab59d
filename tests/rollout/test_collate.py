import numpy as np
import pytest
import torch

from steerctl.rollout.collate import collate
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict


def group(index, prompt, *responses):
    rollouts = tuple(
        Rollout(np.array(r, dtype=np.int32), -np.arange(1, len(r) + 1, dtype=np.float32), "", "stop", 0, 0)
        for r in responses
    )
    verdicts = tuple(Verdict(1.0, None, "") for _ in responses)
    return RolloutGroup(
        Problem(str(index), (Message("user", ""),), "", ""), prompt, rollouts, verdicts, (1.0,) * len(responses)
    )


def test_shift_mask_and_values_by_hand():
    step = collate(
        [group(0, (7, 8), [1, 2, 3], [4])],
        torch.tensor([[0.5, -1.5]]),
        updates=1,
        rank=0,
        ranks=1,
        micro_batch_tokens=100,
    )
    (update,) = step
    (batch,) = update.micro_batches
    assert batch.row_B.tolist() == [0, 1]
    assert batch.input_ids_BT.tolist() == [[7, 8, 1, 2], [7, 8, 0, 0]]
    assert batch.target_ids_BT.tolist() == [[8, 1, 2, 3], [8, 4, 0, 0]]
    assert batch.loss_mask_BT.tolist() == [[False, True, True, True], [False, True, False, False]]
    assert batch.advantages_BT.tolist() == [[0, 0.5, 0.5, 0.5], [0, -1.5, 0, 0]]
    assert batch.rollout_logprobs_BT.tolist() == [[0, -1, -2, -3], [0, -1, 0, 0]]
    assert (batch.num_tokens, batch.num_sequences) == (4, 2)


def test_two_ranks_share_the_rows_and_agree_on_the_denominators():
    rng = np.random.default_rng(0)
    groups = [
        group(i, (1,) * int(rng.integers(1, 5)), *[[2] * int(rng.integers(1, 9)) for _ in range(4)]) for i in range(6)
    ]
    advantages = torch.randn(6, 4)
    ranks = [collate(groups, advantages, updates=3, rank=r, ranks=2, micro_batch_tokens=20) for r in range(2)]
    for mine, other in zip(*ranks, strict=True):
        assert len(mine.micro_batches) == len(other.micro_batches)
        assert mine.num_tokens == other.num_tokens
        rows = [int(row) for u in (mine, other) for b in u.micro_batches for row in b.row_B if row >= 0]
        assert sorted(rows) == list(range(mine.index * 8, mine.index * 8 + 8))
        trained = sum(int(b.loss_mask_BT.sum()) for u in (mine, other) for b in u.micro_batches)
        assert trained == mine.num_tokens


def test_a_rank_without_rows_gets_a_batch_that_trains_nothing():
    step = collate([group(0, (1,), [2])], torch.ones(1, 1), updates=1, rank=1, ranks=2, micro_batch_tokens=10)
    (batch,) = step[0].micro_batches
    assert batch.row_B.tolist() == [-1]
    assert not batch.loss_mask_BT.any()
    assert batch.num_tokens == 1


def test_groups_must_divide_into_updates():
    with pytest.raises(ValueError, match="evenly"):
        collate([group(0, (1,), [2])], torch.ones(1, 1), updates=2, rank=0, ranks=1, micro_batch_tokens=10)
