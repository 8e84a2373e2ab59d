"""Group metrics by hand."""

import numpy as np
import pytest

from steerctl.metrics.catalogue import metrics
from steerctl.metrics.groups import group_tally, validation_tally
from steerctl.metrics.tally import Tally
from steerctl.types import Message, Problem, Rollout, RolloutGroup, Verdict


def group(values, lengths, rewards=None, statuses=("ok", "ok"), prompt=3):
    problem = Problem("p", (Message("user", "1+1?"),), "2", "arithmetic")
    rollouts = tuple(
        Rollout(np.zeros(n, np.int32), np.zeros(n, np.float32), "", "length" if n == 8 else "stop", 0, 0)
        for n in lengths
    )
    verdicts = tuple(Verdict(value, None, "", status) for value, status in zip(values, statuses, strict=True))
    return RolloutGroup(problem, tuple(range(prompt)), rollouts, verdicts, tuple(rewards or values))


GROUPS = [
    group((1.0, 0.0), (2, 8)),
    group((1.0, 1.0), (3, 3), prompt=5),
    group((0.0, 0.0), (8, 4), rewards=(-0.5, 0.0), statuses=("no_answer", "timeout")),
    group((0.0, 0.0), (4, 8), statuses=("error", "too_long"), prompt=1),
]


def test_group_metrics_by_hand():
    got = group_tally(GROUPS, replaced=2).finish()
    assert got == pytest.approx({
        "reward/mean": 2.5 / 8, "reward/std": np.std([1, 0, 1, 1, -0.5, 0, 0, 0]), "reward/max": 1, "reward/min": -0.5,
        "accuracy/mean": 3 / 8, "accuracy/any": 0.5,
        "groups/no_signal/fraction": 0.5, "groups/all_right/fraction": 0.25, "groups/all_wrong/fraction": 0.5,
        "groups/replaced/count": 2,
        "response/length/mean": 5, "response/length/max": 8, "response/length/min": 2,
        "response/truncated/fraction": 3 / 8, "prompt/length/mean": 3,
        "verifier/timeout/count": 1, "verifier/error/count": 1, "verifier/no_answer/count": 1,
        "verifier/too_long/count": 1, "verifier/oom/count": 0, "verifier/crash/count": 0,
            "verifier/infra_error/count": 0,
    })  # fmt: skip
    assert set(got) <= set(metrics())


def test_ranks_merge_to_the_whole():
    parts = [group_tally(GROUPS[:1], replaced=2), group_tally(GROUPS[1:]), group_tally([])]
    assert Tally.merged(parts).finish() == pytest.approx(group_tally(GROUPS, replaced=2).finish(), rel=1e-12)


def test_validation_by_hand():
    got = validation_tally(GROUPS).finish()
    assert got == pytest.approx({
        "validation/accuracy/mean": 3 / 8, "validation/accuracy/any": 0.5, "validation/length/mean": 5,
        "validation/truncated/fraction": 3 / 8, "validation/responses/count": 8,
    })  # fmt: skip
    assert set(got) <= set(metrics())
