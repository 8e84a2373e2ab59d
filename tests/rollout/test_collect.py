from dataclasses import replace

import pytest

from steerctl.data.tokenise import PreparedProblems
from steerctl.rollout.collect import Collector, is_informative
from steerctl.types import Sampling, Verdict
from tests.fakes import FakeGenerator, FakePolicy, FakeVerifier, problems


class Alike(FakeVerifier):
    """Right for everyone on even problems: groups without signal."""

    def verify(self, pairs):
        return [
            Verdict(1.0 if int(p.id.split("/")[1]) % 2 == 0 else float(i % 2), None, "")
            for i, (p, _) in enumerate(pairs)
        ]


def collector(**changes) -> Collector:
    asked = problems(10)
    defaults = Collector(
        prompts=PreparedProblems(tuple(asked), tuple((i,) for i in range(10)), {}),
        generator=FakeGenerator(),
        verifier=FakeVerifier(),
        shape=lambda verdicts, rollouts: tuple(verdict.value for verdict in verdicts),
        ranks=FakePolicy(),
        sampling=Sampling(1.0, 1.0, 0, 5),
        seed=3,
        problems=4,
        group_size=2,
        max_rounds=None,
    )
    return replace(defaults, **changes)


def test_every_prompt_is_accounted_for_over_an_epoch_boundary():
    c = collector()
    cursor, asked = 0, []
    for step in range(5):
        got = c.collect(step, cursor)
        cursor = got.cursor
        asked += [group.problem.id for group in got.groups]
        assert got.asked == 4
        assert got.replaced == 0
    assert cursor == 20
    assert sorted(asked) == sorted([p.id for p in problems(10)] * 2)


def test_generation_replays_and_differs_between_steps():
    first, again, later = collector().collect(0, 0), collector().collect(0, 0), collector().collect(1, 0)
    texts = [[r.text for g in c.groups for r in g.rollouts] for c in (first, again, later)]
    assert texts[0] == texts[1] != texts[2]


def test_two_ranks_sample_what_one_rank_samples():
    alone = collector().collect(0, 0).groups
    shares = []
    for rank in range(2):
        ranks = FakePolicy()
        ranks.rank, ranks.world_size = rank, 2
        ranks.all_gather = lambda value, keep=shares: (keep.append(value), [value, value])[1]
        collector(ranks=ranks).sample(range(4), 0)
    merged = [shares[i % 2][i // 2] for i in range(4)]
    assert [g.problem.id for g in merged] == [g.problem.id for g in alone]
    assert [r.text for g in merged for r in g.rollouts] == [r.text for g in alone for r in g.rollouts]


def test_dynamic_sampling_replaces_groups_without_signal_and_counts_them():
    got = collector(verifier=Alike(), max_rounds=10).collect(0, 0)
    assert len(got.groups) == 4
    assert all(is_informative(group) for group in got.groups)
    assert got.asked == got.cursor
    assert got.asked > 4
    assert got.replaced > 0


def test_dynamic_sampling_gives_up_and_fills_with_groups_without_signal():
    class Right(FakeVerifier):
        def verify(self, pairs):
            return [Verdict(1.0, None, "") for _ in pairs]

    got = collector(verifier=Right(), max_rounds=2).collect(0, 0)
    assert (len(got.groups), got.asked, got.replaced) == (4, 8, 4)
    assert not any(is_informative(group) for group in got.groups)


def test_rewards_come_from_the_shape():
    got = collector(shape=lambda verdicts, rollouts: tuple(2 * v.value - 1 for v in verdicts)).collect(0, 0)
    assert {reward for group in got.groups for reward in group.rewards_G} <= {-1.0, 1.0}
    with pytest.raises(AttributeError):
        got.groups[0].rewards_G = ()
