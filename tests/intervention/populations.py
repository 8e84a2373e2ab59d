"""What every intervention's test asks: neutral is the baseline, cuts and ranks do not matter, edges stay finite."""

from __future__ import annotations

from dataclasses import fields, replace
from threading import Barrier, Thread

import numpy as np
import torch

from steerctl.intervention import Population
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from steerctl.types import Dials, Message, Problem, Rollout, RolloutGroup, Verdict
from tests.batches import Case, cut, make_case, stats_of


def groups_of(values_PG, *, rewards_PG=None, logprobs=None, names=None) -> list[RolloutGroup]:
    """Groups with these verdicts; rewards are the verdicts unless given, rollouts one token of log-probability −1."""
    groups = []
    for index, values_G in enumerate(values_PG):
        rewards_G = tuple(float(v) for v in (values_G if rewards_PG is None else rewards_PG[index]))
        rows = [[-1.0]] * len(values_G) if logprobs is None else logprobs[index]
        rollouts = tuple(Rollout(np.zeros(len(r), np.int32), np.array(r, np.float32), "", "stop", 0, 0) for r in rows)
        verdicts = tuple(Verdict(float(value), None, "") for value in values_G)
        name = f"p{index}" if names is None else names[index]
        groups.append(RolloutGroup(Problem(name, (Message("user", "?"),), "", ""), (1,), rollouts, verdicts, rewards_G))
    return groups


def turn_of(intervention, cases, *, step=0, update=0, all_gather=lambda value: [value]):
    """The turn prepared on these micro-batches."""
    return intervention.prepare(Population(tuple(case.view() for case in cases), all_gather, step, update))


def turned(intervention, case: Case, dials: Dials | None = None, *, step=0, update=1) -> Dials:
    """The dials after the turn that was prepared on this case alone, whatever the scope; not the first update."""
    view = case.view() if dials is None else replace(case.view(), dials=dials)
    turn = intervention.prepare(Population((view,), lambda value: [value], step, update))
    return turn(view.dials, view.batch, view.stats)


def joined(all_dials: list[Dials]) -> Dials:
    return Dials(**{f.name: torch.cat([getattr(dials, f.name) for dials in all_dials]) for f in fields(Dials)})


def on_two_ranks(intervention, own_parts, *, step=0, update=1) -> Dials:
    """Dials of all micro-batches, the ranks being threads that meet in all_gather."""
    barrier, slots, results = Barrier(2, timeout=20), [None, None], [None, None]

    def run(rank):
        def all_gather(value):
            slots[rank] = value
            barrier.wait()
            both = list(slots)
            barrier.wait()
            return both

        parts = own_parts[rank]
        turn = turn_of(intervention(), parts, step=step, update=update, all_gather=all_gather)
        results[rank] = [turn(*(getattr(part.view(), name) for name in ("dials", "batch", "stats"))) for part in parts]

    threads = [Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return joined([*results[0], *results[1]])


def assert_same_in_every_cut(make, case: Case, *, step=0, update=1) -> None:
    """Whole, in micro-batches, backwards and on two ranks: the same dials, each from a fresh intervention."""
    whole = turned(make(), case, step=step, update=update)
    rows = len(case.batch.row_B)
    for sizes in ([2, rows - 2], [1] * rows):
        parts = cut(case, sizes)
        for order in (parts, parts[::-1]):
            turn = turn_of(make(), order, step=step, update=update)
            split = joined([turn(part.view().dials, part.batch, part.stats) for part in parts])
            _assert_equal(split, whole)
    first, second, third = cut(case, [3, 1, rows - 4])
    _assert_equal(on_two_ranks(make, ((first, second), (third,)), step=step, update=update), whole)


def _assert_equal(actual: Dials, expected: Dials) -> None:
    for field in fields(Dials):
        assert torch.equal(getattr(actual, field.name), getattr(expected, field.name)), field.name


def loss_of(dials: Dials, case: Case, surrogate=None, logprobs=None):
    stats = case.stats if logprobs is None else replace(case.stats, logprobs_BT=logprobs)
    return token_loss(dials, (surrogate or PpoClip())(dials, case.batch, stats), case.batch, "token_mean", 1)


def gradient_of(dials: Dials, case: Case):
    return torch.autograd.grad(loss_of(dials, case), case.logits_BTV, retain_graph=True)[0]


def assert_baseline(intervention, case: Case) -> None:
    """Value and gradient of the loss are those without interventions, bit for bit."""
    neutral, dials = case.view().dials, turned(intervention, case)
    assert torch.equal(loss_of(dials, case), loss_of(neutral, case))
    assert torch.equal(gradient_of(dials, case), gradient_of(neutral, case))


def assert_turns_only(dials: Dials, case: Case, *names: str) -> None:
    """The other dials hold what they held, and masked tokens keep theirs everywhere (clip bounds excepted)."""
    neutral = case.view().dials
    for field in fields(Dials):
        before, after = getattr(neutral, field.name), getattr(dials, field.name)
        if field.name not in names:
            assert torch.equal(after, before), field.name
        elif not field.name.startswith("clip"):
            assert torch.equal(after[~case.batch.loss_mask_BT], before[~case.batch.loss_mask_BT]), field.name


def assert_detached(dials: Dials, *, penalty: bool = False) -> None:
    for field in fields(Dials):
        if field.name != "penalty_BT" or not penalty:
            assert not getattr(dials, field.name).requires_grad, field.name


def masked(case: Case, mask_BT) -> Case:
    """The case with another mask, statistics and totals made anew."""
    old, stats = (
        stats_of(logits, case.batch.target_ids_BT, mask_BT)
        for logits in (case.logits_BTV.detach() * 0.9, case.logits_BTV)
    )
    advantages_BT = torch.where(mask_BT, 0.5, 0.0)
    signs_B1 = torch.tensor([1.0, -1.0]).repeat(mask_BT.shape[0])[: mask_BT.shape[0], None]
    batch = replace(
        case.batch, loss_mask_BT=mask_BT, old=old, advantages_BT=advantages_BT * signs_B1, num_tokens=int(mask_BT.sum())
    )
    return Case(batch, case.logits_BTV, stats)


def edge_cases() -> dict[str, Case]:
    """Empty masks, one-token responses, advantages of zero, probabilities at 0 and 1, all tokens alike."""
    case = make_case(seed=21, drift=0.5)
    empty = torch.zeros_like(case.batch.loss_mask_BT)
    single = empty.clone()
    single[:, 3] = True
    one_row_empty = case.batch.loss_mask_BT.clone()
    one_row_empty[0] = False
    sharp = make_case(seed=22, sharpness=200.0, drift=0.5)
    unlikely = replace(sharp.batch, target_ids_BT=(sharp.batch.target_ids_BT + 1) % 7)
    zero = replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT))
    flat = make_case(seed=23, sharpness=0.0, drift=0.0)
    return {
        "empty": masked(case, empty),
        "one_token": masked(case, single),
        "one_row_empty": masked(case, one_row_empty),
        "zero_advantages": replace(case, batch=zero),
        "certain": sharp,
        "impossible": masked(replace(sharp, batch=unlikely), sharp.batch.loss_mask_BT),
        "all_alike": flat,
    }


def assert_finite_at_the_edges(make) -> None:
    """Loss and gradient stay finite, masked tokens have no gradient, an empty mask gives a loss of 0."""
    for name, case in edge_cases().items():
        for update in (0, 1):
            dials = turned(make(), case, update=update)
            for field in ("advantages_BT", "weight_BT", "penalty_BT"):
                assert torch.isfinite(getattr(dials, field)).all(), (name, field)
            loss, gradient = loss_of(dials, case), gradient_of(dials, case)
            assert torch.isfinite(loss), name
            assert torch.isfinite(gradient).all(), name
            assert (gradient[~case.batch.loss_mask_BT] == 0).all(), name
            assert name != "empty" or loss.item() == 0
