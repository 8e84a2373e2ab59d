from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from steerctl.errors import EngineError
from steerctl.rollout.ahead import Pending, SamplingAhead
from steerctl.run.step import run_step
from steerctl.spec.correction import TruncatedCorrection
from tests.fakes import FakeGenerator, FakePolicy
from tests.rollout.test_collect import Alike, collector
from tests.run.test_step import parts


class Slow(FakeGenerator):
    """Answers when it is told to; remembers the version at the beginning and the end of each call, and its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.begun = threading.Event(), threading.Event()
        self.calls: list[tuple[int, int, str]] = []

    def generate(self, requests, sampling):
        before = self.version
        self.begun.set()
        assert self.go.wait(20)
        found = super().generate(requests, sampling)
        self.calls.append((before, self.version, threading.current_thread().name))
        return found


def texts(collected):
    return [rollout.text for group in collected.groups for rollout in group.rollouts]


def run(source: SamplingAhead, generator: FakeGenerator, steps: int, cursor: int = 0, first: int = 0):
    """What a training loop does with it."""
    found = []
    for step in range(first, first + steps):
        collected = source.collect(step, cursor)
        source.settle()
        generator.load_weights({}.items(), step + 1)
        cursor = collected.cursor
        found.append(collected)
    return found


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("changes", [{}, {"verifier": Alike(), "max_rounds": 10}])
def test_the_same_problems_and_responses_one_version_later(aside, changes):
    inner = collector(**changes)
    found = run(SamplingAhead(inner, aside=aside), inner.generator, 4)
    plain, cursor = [], 0
    for step in range(4):
        plain.append(collector(**changes).collect(step, cursor))
        cursor = plain[-1].cursor
    assert [texts(each) for each in found] == [texts(each) for each in plain]
    assert [(each.cursor, each.asked, each.replaced) for each in found] == [
        (each.cursor, each.asked, each.replaced) for each in plain
    ]
    versions = [{rollout.weight_version for group in each.groups for rollout in group.rollouts} for each in found]
    assert versions == [{0}, {0}, {1}, {2}]


def test_sampling_goes_on_while_the_caller_works_and_is_over_before_the_push():
    generator = Slow()
    generator.go.set()
    source = SamplingAhead(collector(generator=generator), aside=True)
    source.collect(0, 0)
    source.settle()
    generator.load_weights({}.items(), 1)
    assert [before == after for before, after, _ in generator.calls] == [True, True]
    names = [name for _, _, name in generator.calls]
    assert names == [threading.current_thread().name, "sampling-ahead"]  # step 0's own groups, then step 1's
    assert source.pending.step == 1


def test_collect_does_not_wait():
    generator = Slow()
    source = SamplingAhead(collector(generator=generator), aside=True)
    source.restore(Pending(3, collector().collect(3, 0)))
    source.collect(3, 0)  # returns although the generator does not answer
    assert generator.begun.wait(20)
    assert generator.calls == []
    generator.go.set()
    source.settle()
    assert len(generator.calls) == 1


def test_what_was_pending_is_restored_and_nothing_is_sampled_twice():
    whole = collector()
    reference = run(SamplingAhead(whole, aside=False), whole.generator, 4)
    first = collector()
    source = SamplingAhead(first, aside=False)
    done = run(source, first.generator, 2)
    resumed = collector()
    resumed.generator.load_weights({}.items(), 2)
    again = SamplingAhead(resumed, aside=False)
    again.restore(source.pending)
    done += run(again, resumed.generator, 2, cursor=done[-1].cursor, first=2)
    assert [texts(each) for each in done] == [texts(each) for each in reference]
    assert [g.rollouts[0].weight_version for each in done for g in each.groups] == [
        g.rollouts[0].weight_version for each in reference for g in each.groups
    ]


@pytest.mark.parametrize("aside", [False, True])
def test_a_failure_of_the_generator_reaches_the_trainer(aside):
    class Broken(FakeGenerator):
        asked = 0

        def generate(self, requests, sampling):
            self.asked += 1
            if self.asked > 1:
                raise EngineError("vLLM server 0 ended")
            return super().generate(requests, sampling)

    source = SamplingAhead(collector(generator=Broken()), aside=aside)
    with pytest.raises(EngineError, match="vLLM server 0 ended"):
        run(source, FakeGenerator(), 1)


def test_weights_pushed_under_way_are_noticed():
    class Mixed(FakeGenerator):
        def _one(self, seed, longest):
            self.version += 1
            return super()._one(seed, longest)

    source = SamplingAhead(collector(generator=Mixed()), aside=False)
    with pytest.raises(EngineError, match="several weight versions"):
        run(source, FakeGenerator(), 1)


def test_a_step_that_is_not_settled_is_a_mistake():
    source = SamplingAhead(collector(), aside=False)
    source.collect(0, 0)
    with pytest.raises(RuntimeError, match="settle"):
        source.collect(1, 4)


def test_nothing_to_settle_before_the_first_step():
    source = SamplingAhead(collector(), aside=True)
    source.settle()
    assert source.pending is None


def test_two_ranks_gather_only_outside_the_thread():
    """A rank's thread takes part in no collective; its share and the other's make one rank's groups."""
    alone = SamplingAhead(collector(), aside=False)
    alone.collect(0, 0)
    alone.settle()
    waiting, shares = threading.Barrier(2, timeout=20), [None, None]
    callers: set[str] = set()

    def ranks(number: int) -> FakePolicy:
        policy = FakePolicy()
        policy.rank, policy.world_size = number, 2

        def all_gather(value):
            callers.add(threading.current_thread().name)
            shares[number] = value
            waiting.wait()
            found = list(shares)
            waiting.wait()
            return found

        policy.all_gather = all_gather
        return policy

    sources = [SamplingAhead(collector(ranks=ranks(number)), aside=True) for number in range(2)]

    def work(source: SamplingAhead) -> None:
        source.collect(0, 0)
        source.settle()

    threads = [threading.Thread(target=work, args=(source,), name=f"rank-{i}") for i, source in enumerate(sources)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert callers == {"rank-0", "rank-1"}
    for source in sources:
        assert texts(source.pending.collected) == texts(alone.pending.collected)


def test_in_a_step_the_push_comes_after_the_next_groups():
    plain = parts()
    ahead = SamplingAhead(replace(plain.collector, generator=plain.generator), aside=True)
    working = replace(plain, collector=ahead)
    first = run_step(working, 0, 0)
    assert plain.generator.version == 1
    second = run_step(working, 1, first.collected.cursor)
    versions = [
        {rollout.weight_version for group in outcome.groups for rollout in group.rollouts}
        for outcome in (first, second)
    ]
    assert versions == [{0}, {0}]
    assert {r.weight_version for g in ahead.pending.collected.groups for r in g.rollouts} == {1}
    assert (first.step, second.step) == (0, 1)


def test_the_surrogates_ratio_starts_at_one_and_the_staleness_is_the_corrections():
    plain = parts(correction=TruncatedCorrection(high=1.5))
    ahead = SamplingAhead(replace(plain.collector, generator=plain.generator), aside=True)
    working = replace(plain, collector=ahead)
    run_step(working, 0, 0)
    outcome = run_step(working, 1, ahead.pending.collected.cursor)
    first_update = [view for view in outcome.views if int(view.batch.row_B.max()) < 16]
    for view in first_update:
        assert torch.equal(view.stats.logprobs_BT, view.batch.old_stats.logprobs_BT)
    for view in outcome.views:
        mask, old = view.batch.loss_mask_BT, view.batch.old_stats.logprobs_BT
        ratio = (old - view.batch.rollout_logprobs_BT)[mask].exp()
        assert (ratio - 1).abs().max() > 0.1  # the fake sampler is uniform, the policy is not
        torch.testing.assert_close(view.dials.weight_BT[mask].double(), ratio.clamp(max=1.5), rtol=1e-6, atol=0)
