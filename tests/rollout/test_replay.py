"""Replayed groups: the file's responses, the experiment's problems and rewards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steerctl.errors import DataError
from steerctl.rollout.replay import NoGenerator, Replay
from steerctl.types import Problem, Sampling, Verdict
from tests.fakes import FakePolicy, FakeVerifier, problems
from tests.rollout.test_collect import collector


class Opposite(FakeVerifier):
    def verify(self, pairs):
        return [Verdict(1.0 - verdict.value, verdict.answer, "opposite") for verdict in super().verify(pairs)]


class OneOfTwo(FakePolicy):
    """A rank of two; `others` is what the other one would give."""

    world_size = 2

    def __init__(self, rank, other=None) -> None:
        super().__init__()
        self.rank, self.other, self.given = rank, other, None

    def all_gather(self, value):
        self.given = value
        return [value, self.other] if self.rank == 0 else [self.other, value]


@pytest.fixture
def sampled():
    return collector(group_size=4).collect(0, 0).groups + collector(group_size=4).collect(1, 4).groups


def replay(sampled, **changes):
    stripped = [replace(group, problem=Problem(group.problem.id, (), "?", "saved"), rewards_G=()) for group in sampled]
    source = Replay(
        block=lambda start, stop: stripped[start:stop],
        known={problem.id: problem for problem in problems(10)},
        judge=None,
        shape=lambda verdicts, _: tuple(verdict.value for verdict in verdicts),
        ranks=FakePolicy(),
        problems=4,
        replaced={1: 8},
    )
    return replace(source, **changes)


def test_step_k_is_the_kth_block_with_the_experiments_problems(sampled) -> None:
    source = replay(sampled)
    first, second = source.collect(0, 0), source.collect(1, 4)
    assert first.groups + second.groups == sampled
    assert (first.cursor, first.asked, first.replaced) == (4, 4, 0)
    assert (second.cursor, second.asked, second.replaced) == (8, 12, 8)


def test_rewards_are_the_experiments(sampled) -> None:
    found = replay(sampled, shape=lambda verdicts, _: tuple(2 * v.value - 1 for v in verdicts)).collect(0, 0)
    assert {reward for group in found.groups for reward in group.rewards_G} <= {-1.0, 1.0}


def test_another_verifier_judges_again_and_two_ranks_share_the_work(sampled) -> None:
    alone = replay(sampled, judge=Opposite()).collect(0, 0).groups
    for old, new in zip(sampled[:4], alone, strict=True):
        assert [verdict.value for verdict in new.verdicts] == [1.0 - verdict.value for verdict in old.verdicts]
    second = OneOfTwo(1, other=[()] * 2)
    replay(sampled, judge=Opposite(), ranks=second).collect(0, 0)
    first = OneOfTwo(0, other=second.given)
    assert replay(sampled, judge=Opposite(), ranks=first).collect(0, 0).groups == alone


def test_the_end_of_the_file_is_one_line(sampled) -> None:
    with pytest.raises(DataError, match="end before step 3; set steps=2"):
        replay(sampled).collect(2, 8)


def test_nothing_samples() -> None:
    generator = NoGenerator()
    generator.load_weights(iter(()), 3)
    generator.close()
    with pytest.raises(RuntimeError):
        generator.generate([], Sampling(1.0, 1.0, 0, 4))
