"""Branching against the fakes: which token, which context, whose entropy; then a real step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.rollout.branch import BranchingGenerator
from steerctl.rollout.collate import collate
from steerctl.spec.branching import BranchingSpec
from steerctl.spec.experiment import RolloutSpec
from steerctl.types import Message, Problem, Request, RolloutGroup, Sampling, Verdict
from tests.fakes import VOCABULARY, FakeGenerator, FakePolicy

SAMPLING = Sampling(1.0, 1.0, 0, 9)
SPEC = BranchingSpec(roots=2, branches=3, top=2, min_characters=1)


class Numbers:
    """Tokens as their numbers; 0 is a special token, 1 a blank."""

    def decode(self, ids, *, skip_special_tokens=False):
        return " ".join(" " if i == 1 else str(i) for i in ids if i or not skip_special_tokens)


@dataclass
class Remembering:
    """A generator that notes what it was asked."""

    inner: FakeGenerator = field(default_factory=FakeGenerator)
    asked: list = field(default_factory=list)

    def generate(self, requests, sampling):
        self.asked.append(list(requests))
        return self.inner.generate(requests, sampling)

    def load_weights(self, weights, version):
        self.inner.load_weights(weights, version)

    def close(self):
        self.inner.close()


def requests(count=3):
    return [
        Request(f"p{i}", (i % 9 + 2, i % 9 + 3), tuple(range(100 * i, 100 * i + SPEC.group_size))) for i in range(count)
    ]


def generator(spec=SPEC, policy=None):
    return BranchingGenerator(Remembering(), policy or FakePolicy(), Numbers(), spec, 10_000, "cpu")


def entropies(policy, prompt_ids, token_ids):
    """Of the state before each response token, straight from the table."""
    context = [prompt_ids[-1], *token_ids[:-1]]
    logp = policy.table.detach()[context].log_softmax(-1)
    return -(logp.exp() * logp).sum(-1).numpy()


def test_the_group_is_roots_then_branches_with_their_seeds_and_texts():
    there = generator()
    groups = there.generate(requests(), SAMPLING)
    assert [len(group) for group in groups] == [SPEC.group_size] * 3
    first, second = there.inner.asked
    for request, asked, group in zip(requests(), first, groups, strict=True):
        assert asked.seeds == request.seeds[:2]
        assert [each.seed for each in group] == list(request.seeds)
        assert [each.given_ids for each in group[:2]] == [(), ()]
        for index, branch in enumerate(group[2:]):
            root = group[index // 3]
            given = branch.given_ids
            assert given == tuple(root.token_ids_T[: len(given)].tolist())
            assert branch.text == Numbers().decode([*given, *branch.token_ids_T], skip_special_tokens=True)
            assert len(given) + len(branch.token_ids_T) <= SAMPLING.max_tokens
            assert len(branch.logprobs_T) == len(branch.token_ids_T)
    assert [r.prompt_ids for r in second] == [
        (*request.prompt_ids, *each.given_ids)
        for request, group in zip(requests(), groups, strict=True)
        for each in group[2:]
    ]


def test_a_branch_begins_at_one_of_the_least_certain_tokens():
    policy = FakePolicy(seed=3)
    places = set()
    for request, group in zip(requests(12), generator(policy=policy).generate(requests(12), SAMPLING), strict=True):
        for index, branch in enumerate(group[2:]):
            root = group[index // 3]
            ids = root.token_ids_T.tolist()
            entropy = entropies(policy, request.prompt_ids, ids)
            last = len(ids) - (root.finish == "stop")
            allowed = [t for t in range(1, last) if ids[t] not in (0, 1)]
            top = sorted(allowed, key=lambda t: -round(float(entropy[t]), 5))[:2]
            assert len(branch.given_ids) in (top or [0])
            places.add(top.index(len(branch.given_ids)) if top else None)
    assert {0, 1} <= places


def test_it_replays_and_does_not_depend_on_micro_batches():
    def once(tokens):
        there = BranchingGenerator(FakeGenerator(), FakePolicy(), Numbers(), SPEC, tokens, "cpu")
        return [
            [(r.given_ids, r.token_ids_T.tolist(), r.text) for r in g] for g in there.generate(requests(), SAMPLING)
        ]

    assert once(10_000) == once(10_000) == once(8)


class Rank(FakePolicy):
    """One of two ranks whose partner asked for `other` of its own, which all_gather answers for it."""

    world_size = 2

    def __init__(self, rank, partner):
        super().__init__()
        self.rank, self.partner = rank, partner

    def all_gather(self, value):
        return self.partner(self.rank, value)


def test_two_ranks_draw_what_one_draws():
    from threading import Barrier, Thread

    barrier, slots, results = Barrier(2, timeout=20), [None, None], [None, None]

    def meet(rank, value):
        slots[rank] = value
        barrier.wait()
        both = list(slots)
        barrier.wait()
        return both

    def run(rank):
        there = BranchingGenerator(FakeGenerator(), Rank(rank, meet), Numbers(), SPEC, 8, "cpu")
        results[rank] = there.generate(requests(3)[rank::2], SAMPLING)

    threads = [Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    together = [results[0][0], results[1][0], results[0][1]]
    alone = BranchingGenerator(FakeGenerator(), FakePolicy(), Numbers(), SPEC, 10_000, "cpu").generate(
        requests(3), SAMPLING
    )
    assert [[r.text for r in g] for g in together] == [[r.text for r in g] for g in alone]


def test_what_was_given_is_context_and_not_trained():
    request = requests(1)[0]
    (group,) = generator().generate([request], SAMPLING)
    problem = Problem("p", (Message("user", "?"),), "1", "fake")
    verdicts = tuple(Verdict(1.0, None, "") for _ in group)
    groups = [RolloutGroup(problem, request.prompt_ids, group, verdicts, (1.0,) * len(group))]
    (update,) = collate(groups, torch.ones(1, len(group)), updates=1, rank=0, ranks=1, micro_batch_tokens=10_000)
    assert update.num_tokens == sum(len(each.token_ids_T) for each in group)
    (batch,) = update.micro_batches
    for place, row in enumerate(batch.row_B.tolist()):
        mask, each = batch.loss_mask_BT[place], group[row]
        assert batch.target_ids_BT[place][mask].tolist() == each.token_ids_T.tolist()
        start = int(mask.nonzero()[0])
        whole = [*request.prompt_ids, *each.given_ids]
        assert start == len(whole) - 1
        assert batch.input_ids_BT[place][: start + 1].tolist() == whole


def test_without_a_token_to_choose_a_branch_starts_at_the_prompt():
    spec = SPEC.model_copy(update={"min_characters": 99})
    for group in generator(spec).generate(requests(), SAMPLING):
        assert {each.given_ids for each in group} == {()}


def test_a_long_branch_is_cut_at_the_length_of_the_whole():
    groups = generator().generate(requests(20), SAMPLING)
    cut = [r for g in groups for r in g if r.given_ids and len(r.given_ids) + len(r.token_ids_T) == 9]
    assert "length" in {each.finish for each in cut}
    assert max(len(r.given_ids) + len(r.token_ids_T) for g in groups for r in g) == 9


def test_weights_go_through():
    there = generator()
    there.load_weights([("table", torch.zeros(VOCABULARY))], 7)
    assert there.inner.inner.version == 7
    there.close()


def test_the_group_must_be_filled_and_cannot_run_ahead():
    assert RolloutSpec(group_size=16, branching=BranchingSpec()).branching.group_size == 16
    with pytest.raises(ValidationError, match=r"group_size .8. must be branching\.roots"):
        RolloutSpec(group_size=8, branching=BranchingSpec())
    with pytest.raises(ValidationError, match="cannot run ahead"):
        RolloutSpec(group_size=16, branching=BranchingSpec(), ahead=1)


def test_draws_are_even():
    """Over many seeds the two least certain tokens of one root are chosen about equally often."""
    there, policy = generator(), FakePolicy()
    ((root,),) = FakeGenerator().generate([Request("p", (2,), (9,))], Sampling(1.0, 1.0, 0, 40))
    entropy = entropies(policy, (2,), root.token_ids_T.tolist())
    found = [there._place(root, entropy, seed) for seed in range(2000)]
    counts = np.unique(found, return_counts=True)[1]
    assert len(counts) == 2
    assert abs(counts[0] - 1000) < 120
