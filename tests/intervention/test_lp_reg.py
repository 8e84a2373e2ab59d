from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from steerctl.intervention import Population
from steerctl.intervention.lp_reg import LpReg
from steerctl.run.step import run_step
from tests.batches import cut, make_case
from tests.intervention.populations import (
    assert_detached,
    assert_turns_only,
    edge_cases,
    gradient_of,
    joined,
    loss_of,
)
from tests.run.test_step import parts

PRESETS = yaml.safe_load(re.search(r"^ *paper_14b: .*?(?=\n\n)", LpReg.__doc__, re.DOTALL | re.MULTILINE).group())


def proxies(case, min_p):
    """From the old policy's logits, which make_case does not keep: their log-probabilities, sharpened a little."""
    logp = (case.logits_BTV.detach() * 1.1).log_softmax(-1)
    kept = logp.masked_fill(logp < logp.amax(-1, keepdim=True) + math.log(min_p), -torch.inf).log_softmax(-1)
    return torch.where(case.batch.loss_mask_BT, kept.gather(-1, case.batch.target_ids_BT[..., None])[..., 0], 0.0)


def population(cases, update=0, all_gather=lambda value: [value]):
    return Population(
        tuple(case.view() for case in cases),
        all_gather,
        0,
        update,
        None,
        lambda k: [proxies(case, k) for case in cases],
    )


def dials_of(intervention, case):
    view = case.view()
    return intervention.prepare(population([case]))(view.dials, view.batch, view.stats)


def oracle(case, *, coef, ratio, min_p, only_below):
    """Penalty and held, token by token."""
    mask = case.batch.loss_mask_BT.numpy()
    old, now = (each.detach().double().numpy() for each in (case.batch.old_stats.logprobs_BT, case.stats.logprobs_BT))
    ranked = np.sort(old[mask])
    threshold = ranked[math.ceil(ratio * len(ranked)) - 1] if ratio else -np.inf
    proxy = proxies(case, min_p).double().numpy()
    penalty, held = np.zeros(mask.shape), np.zeros(mask.shape, bool)
    for place in zip(*np.nonzero(mask), strict=True):
        rare, wrong = now[place] <= threshold, float(case.batch.advantages_BT[place]) < 0
        if rare and wrong and np.isfinite(proxy[place]) and (now[place] < proxy[place] or not only_below):
            quotient = np.exp(proxy[place]) / np.exp(now[place])
            penalty[place] = coef * min(quotient - np.log(quotient) - 1, 10.0)
            held[place] = True
    return penalty, held


@pytest.mark.parametrize("only_below", [True, False])
@pytest.mark.parametrize(("ratio", "min_p"), [(0.4, 0.02), (1.0, 0.3), (0.4, 1e-6)])
def test_oracle(ratio, min_p, only_below):
    case = make_case(seed=2, drift=0.6)
    there = LpReg(kl_coef=0.5, ratio=ratio, min_p=min_p, only_below=only_below)
    dials = dials_of(there, case)
    penalty, held = oracle(case, coef=0.5, ratio=ratio, min_p=min_p, only_below=only_below)
    assert held.any()
    np.testing.assert_allclose(dials.penalty_BT.detach().double().numpy(), penalty, atol=1e-5)
    assert torch.equal(dials.clip_high_BT.isinf(), torch.from_numpy(held))
    assert torch.equal(dials.clip_low_BT.isinf(), torch.from_numpy(held))
    assert set(dials.clip_low_BT[~dials.clip_low_BT.isinf()].tolist()) == {1.0}
    assert set(dials.clip_high_BT[~dials.clip_high_BT.isinf()].tolist()) == {9.0}
    assert_turns_only(dials, case, "penalty_BT", "clip_low_BT", "clip_high_BT")
    assert_detached(dials, penalty=True)


def test_golden():
    """π = 0.05 under a proxy of 0.2, A < 0: k3 = 4 − ln 4 − 1."""
    case = make_case(seed=1, rows=1, drift=0.0, dtype=torch.float64)
    mask = case.batch.loss_mask_BT
    logp = torch.where(mask, math.log(0.05), 0.0).double()
    old = replace(case.batch.old_stats, logprobs_BT=logp)
    batch = replace(case.batch, old=old, advantages_BT=torch.where(mask, -1.0, 0.0).double())
    case = replace(case, batch=batch, stats=replace(case.stats, logprobs_BT=logp))
    view = case.view()
    there = LpReg(ratio=1.0)
    seen = Population((view,), lambda v: [v], 0, 0, None, lambda k: [torch.where(mask, math.log(0.2), 0.0).double()])
    penalty = there.prepare(seen)(view.dials, view.batch, view.stats).penalty_BT[mask]
    assert penalty.tolist() == pytest.approx([3 - math.log(4)] * int(mask.sum()))


def test_the_gradient_is_that_of_k3_through_the_current_policy_alone():
    case = make_case(seed=4, drift=0.5, dtype=torch.float64)
    dials = dials_of(LpReg(ratio=1.0, kl_coef=2.0), case)
    held = dials.clip_high_BT.isinf()
    (gradient,) = torch.autograd.grad(dials.penalty_BT.sum(), case.stats.logprobs_BT, retain_graph=True)
    expected = 2.0 * (1 - (proxies(case, 0.02) - case.stats.logprobs_BT).exp()).detach()
    torch.testing.assert_close(gradient, torch.where(held, expected, 0.0))


def test_neutral_settings_are_the_baseline_bit_for_bit():
    case = make_case(seed=3, drift=0.5)
    neutral = case.view().dials
    for there in (LpReg(kl_coef=0.0, set_clip=False), LpReg(ratio=0.0, set_clip=False)):
        dials = dials_of(there, case)
        assert torch.equal(loss_of(dials, case), loss_of(neutral, case))
        assert torch.equal(gradient_of(dials, case), gradient_of(neutral, case))


def test_it_knows_neither_micro_batches_nor_order():
    case = make_case(seed=6, rows=8, drift=0.5)
    whole = dials_of(LpReg(ratio=0.3), case)
    for sizes in ([2, 6], [1] * 8):
        pieces = cut(case, sizes)
        for order in (pieces, pieces[::-1]):
            start = dict(zip(map(id, pieces), np.cumsum([0, *sizes]), strict=False))
            everything = proxies(case, 0.02)
            chosen = [everything[start[id(p)] : start[id(p)] + len(p.batch.row_B)] for p in order]
            seen = Population(tuple(p.view() for p in order), lambda v: [v], 0, 0, None, lambda k, c=chosen: c)
            turn = LpReg(ratio=0.3).prepare(seen)
            dials = joined([turn(p.view().dials, p.batch, p.stats) for p in pieces])
            assert torch.equal(dials.penalty_BT, whole.penalty_BT)
            assert torch.equal(dials.clip_high_BT, whole.clip_high_BT)


def test_the_proxy_is_of_the_policy_that_sampled_and_costs_one_pass():
    there = LpReg(ratio=0.5, kl_coef=0.1)
    p = parts(interventions=[there], updates_per_step=2, micro_batch_tokens=10_000)
    outcome = run_step(p, 0, 0)
    assert p.policy.calls.count("min_p_logprobs") == 2
    assert any(float(view.dials.penalty_BT.max()) > 0 for view in outcome.views[1:])
    small = parts(interventions=[LpReg(ratio=0.5, kl_coef=0.1)], updates_per_step=2, micro_batch_tokens=8)
    run_step(small, 0, 0)
    torch.testing.assert_close(small.policy.table, p.policy.table, rtol=0, atol=1e-6)
    plain = parts(updates_per_step=2)
    run_step(plain, 0, 0)
    assert not torch.equal(plain.policy.table, p.policy.table)


def test_edges_stay_finite():
    for name, case in edge_cases().items():
        for settings in ({}, {"ratio": 1.0, "only_below": False}):
            dials = dials_of(LpReg(**settings), case)
            assert torch.isfinite(dials.penalty_BT).all(), name
            assert torch.isfinite(loss_of(dials, case)), name
            assert torch.isfinite(gradient_of(dials, case)).all(), name
            assert (gradient_of(dials, case)[~case.batch.loss_mask_BT] == 0).all(), name


def test_presets_stand_in_the_docstring():
    assert {name: LpReg(**preset).ratio for name, preset in PRESETS.items()} == {
        "paper_14b": 0.01,
        "paper_32b": 0.005,
        "paper_without_condition": 0.01,
    }
