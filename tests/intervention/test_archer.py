from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from steerctl.intervention.archer import Archer
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    loss_of,
    turned,
)
from tests.oracles import intervention as shared_oracle
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper: .*?(?=\n\n)", Archer.__doc__, re.DOTALL | re.MULTILINE).group())
BOTH = {"knowledge_kl_coef": 0.2, "reasoning_kl_coef": 0.05}


def reasoning(case, quantile=0.8, source="live"):
    entropy = (case.stats if source == "live" else case.batch.old_stats).entropy_BT.detach()
    rows = zip(entropy, case.batch.loss_mask_BT, strict=True)
    return np.array([flag for h, mask in rows for flag in oracle.archer_reasoning(h[mask].tolist(), quantile)])


def test_presets_stand_in_the_docstring():
    assert Archer(**PRESETS["paper"]) == Archer()
    assert Archer(**PRESETS["released"]).scope == "micro_batch"


def test_golden_two_of_ten():
    case = make_case(rows=1, length=11)
    entropy = torch.tensor([[0.9, 0.1, 0.2, 2.0, 0.1, 0.0, 0.0, 1.0, 0.5, 0.4, 9.0]])
    mask = torch.ones(1, 11, dtype=torch.bool)
    mask[0, 10] = False
    ref = case.stats.logprobs_BT.detach() + np.log(2)  # d = −ln 2: k3 = 2 − ln 2 − 1
    batch = replace(case.batch, loss_mask_BT=mask, ref_logprobs_BT=ref, num_tokens=10)
    case = replace(case, batch=batch, stats=replace(case.stats, entropy_BT=entropy))
    dials = turned(Archer(), case)
    assert dials.clip_high_BT[0].tolist() == pytest.approx([0.2] * 3 + [0.5] + [0.2] * 3 + [0.5] + [0.2] * 3)
    assert torch.equal(dials.clip_low_BT, dials.clip_high_BT)
    k3 = 1 - np.log(2)
    expected = [0.001 * k3 / 0.8] * 3 + [0] + [0.001 * k3 / 0.8] * 3 + [0] + [0.001 * k3 / 0.8] * 2 + [0]
    assert dials.penalty_BT[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("source", ["old", "live"])
@pytest.mark.parametrize("denominator", ["all", "selected"])
@pytest.mark.parametrize("seed", range(3))
def test_oracle(source, denominator, seed):
    case = make_case(seed=seed, drift=0.7, rows=8, length=20)
    mask = case.batch.loss_mask_BT
    method = Archer(
        quantile=0.7, knowledge_clip=0.1, reasoning_clip=0.6, kl_denominator=denominator, entropy_source=source, **BOTH
    )
    dials, fork = turned(method, case), reasoning(case, 0.7, source)
    np.testing.assert_allclose(dials.clip_low_BT[mask], np.where(fork, 0.6, 0.1), rtol=1e-6)
    logprobs, ref = (t[mask].detach().double().tolist() for t in (case.stats.logprobs_BT, case.batch.ref_logprobs_BT))
    k3 = np.array([shared_oracle.kl("k3", a, b, 10.0) for a, b in zip(logprobs, ref, strict=True)])
    coefs = np.where(fork, 0.05, 0.2)
    if denominator == "selected":
        coefs = coefs / np.where(fork, fork.mean(), 1 - fork.mean())
    np.testing.assert_allclose(dials.penalty_BT[mask].detach(), coefs * k3, rtol=1e-4, atol=1e-6)


def test_selected_is_each_class_s_own_mean():
    case = make_case(seed=4, drift=0.5, rows=8, length=20)
    mask, fork = case.batch.loss_mask_BT, reasoning(case)
    dials, plain = turned(Archer(**BOTH), case), turned(Archer(knowledge_kl_coef=0.0), case)
    logprobs, ref = (t[mask].detach().double().tolist() for t in (case.stats.logprobs_BT, case.batch.ref_logprobs_BT))
    k3 = np.array([shared_oracle.kl("k3", a, b, 10.0) for a, b in zip(logprobs, ref, strict=True)])
    expected = 0.2 * k3[~fork].mean() + 0.05 * k3[fork].mean()
    assert (loss_of(dials, case) - loss_of(plain, case)).item() == pytest.approx(expected, rel=1e-4)


def test_classes_are_detached_and_masked_tokens_have_no_penalty():
    case = make_case(seed=5, drift=0.5)
    dials = turned(Archer(**BOTH), case)
    assert_turns_only(dials, case, "penalty_BT", "clip_low_BT", "clip_high_BT")
    assert_detached(dials, penalty=True)
    leaf = case.stats.entropy_BT.detach().requires_grad_()
    moved = replace(case, stats=replace(case.stats, entropy_BT=leaf))
    assert torch.autograd.grad(loss_of(turned(Archer(**BOTH), moved), moved), leaf, allow_unused=True)[0] is None


def test_neutral_settings_are_the_baseline_bit_for_bit():
    method = Archer(knowledge_clip=0.2, reasoning_clip=0.2, knowledge_kl_coef=0.0)
    assert_baseline(method, make_case(seed=6, drift=0.5))


def test_the_wide_clip_lets_forks_through():
    case = make_case(seed=7, drift=0.5, rows=12, length=20)
    method = Archer(knowledge_kl_coef=0.0, reasoning_clip=5.0)
    fork = torch.zeros_like(case.batch.loss_mask_BT)
    fork[case.batch.loss_mask_BT] = torch.from_numpy(reasoning(case))
    ratio = (case.stats.logprobs_BT - case.batch.old_stats.logprobs_BT).exp()
    clipped = (ratio > 1.2) & (case.batch.advantages_BT > 0)
    sizes = gradient_of(turned(method, case), case).abs().sum(-1)
    assert (clipped & fork).any()
    assert (clipped & ~fork).any()
    assert (sizes[clipped & fork] > 0).all()
    assert (sizes[clipped & ~fork] == 0).all()


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("denominator", ["all", "selected"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, denominator):
    method = Archer(scope=scope, kl_denominator=denominator, **BOTH)
    assert method.population_scope == (scope if denominator == "selected" else "micro_batch")
    assert_same_in_every_cut(lambda: method, make_case(seed=8, rows=8, drift=0.5))


def test_edges_stay_finite():
    for scope in ("micro_batch", "update"):
        assert_finite_at_the_edges(lambda scope=scope: Archer(scope=scope, **BOTH))


def test_it_declares_and_demands_the_reference():
    case = make_case(seed=9)
    assert Archer.needs == {"reference"}
    with pytest.raises(RuntimeError, match="no reference log-probabilities"):
        turned(Archer(), replace(case, batch=replace(case.batch, ref_logprobs_BT=None)))
