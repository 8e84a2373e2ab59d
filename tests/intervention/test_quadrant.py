from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention.quadrant import Quadrant
from tests.batches import cut, make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    gradient_of,
    turned,
)
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(
    re.search(r"^ *raise_weaken_1: .*?(?=\n\n)", Quadrant.__doc__, re.DOTALL | re.MULTILINE).group()
)
FACTORS = (0.5, 2.0, 0.25, 3.0)
NAMED = {f"factor_{index + 1}": factor for index, factor in enumerate(FACTORS)}


def weights(method, case):
    return turned(method, case).weight_BT[case.batch.loss_mask_BT].numpy()


def numbers(case, source):
    stats = case.batch.old_stats if source == "old" else case.stats
    mask = case.batch.loss_mask_BT
    tensors = (case.batch.advantages_BT, stats.logprobs_BT, stats.entropy_BT, stats.mean_score_BT)
    return [tensor[mask].detach().double().numpy() for tensor in tensors]


def test_golden_one_token_of_each():
    # π = 0.6 and 0.1 at H = ln 2: e^−H = 0.5 lies between.
    case = make_case(rows=1, length=5)
    likely, unlikely = np.log(0.6), np.log(0.1)
    old = replace(
        case.stats,
        logprobs_BT=torch.tensor([[likely, unlikely, unlikely, likely, likely]]),
        entropy_BT=torch.full((1, 5), np.log(2)),
    )
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, 0.0]])
    batch = replace(case.batch, loss_mask_BT=torch.ones(1, 5, dtype=torch.bool), advantages_BT=advantages, old=old)
    case = replace(case, batch=batch)
    assert weights(Quadrant(**NAMED), case).tolist() == [*FACTORS, 1.0]
    assert weights(Quadrant(**NAMED, boundary="fixed_p", boundary_probability=0.7), case).tolist() == [
        2,
        2,
        0.25,
        0.25,
        1,
    ]
    assert weights(Quadrant(**NAMED, boundary="fixed_p", boundary_probability=0.0), case).tolist() == [
        0.5,
        0.5,
        3,
        3,
        1,
    ]


@pytest.mark.parametrize("source", ["old", "live"])
@pytest.mark.parametrize("boundary", ["kappa", "exact", "fixed_p", "batch_quantile"])
@pytest.mark.parametrize("seed", range(3))
def test_oracle(boundary, source, seed):
    case = make_case(seed=seed, drift=1.0, rows=8, length=20)
    advantages, logprobs, entropy, mean_score = numbers(case, source)
    match boundary:
        case "kappa":
            likely = np.exp(logprobs) >= np.exp(-entropy)
        case "exact":
            likely = np.exp(logprobs) * (logprobs + entropy) >= mean_score
        case "fixed_p":
            likely = np.exp(logprobs) >= 0.3
        case "batch_quantile":
            likely = logprobs >= np.sort(logprobs)[int(0.4 * len(logprobs))]
    method = Quadrant(
        **NAMED, boundary=boundary, entropy_source=source, boundary_probability=0.3, boundary_quantile=0.4
    )
    expected = [oracle.quadrant_weight(a, bool(b), FACTORS) for a, b in zip(advantages, likely, strict=True)]
    np.testing.assert_allclose(weights(method, case), expected)
    assert set(expected) == set(FACTORS)


def test_exact_divides_by_the_sign_of_the_entropy_change():
    """Where A > 0, raising the token's probability lowers its state's entropy if and only if it is likely."""
    case = make_case(seed=1, drift=0.0, sharpness=1.0, rows=12, dtype=torch.float64)
    step = torch.autograd.grad(case.stats.logprobs_BT.sum(), case.logits_BTV, retain_graph=True)[0]
    slope = torch.autograd.grad(case.stats.entropy_BT.sum(), case.logits_BTV, retain_graph=True)[0]
    change = (step * slope).sum(-1)[case.batch.loss_mask_BT].numpy()
    positive = replace(case, batch=replace(case.batch, advantages_BT=case.batch.loss_mask_BT.double()))
    exact = weights(Quadrant(factor_1=0.5, boundary="exact"), positive)
    np.testing.assert_array_equal(exact == 0.5, change <= 0)
    assert (exact != weights(Quadrant(factor_1=0.5), positive)).any()


def test_presets_stand_in_the_docstring_and_push_where_they_say():
    """Raising schemes raise the first-order change of the batch's entropy on-policy; lowering ones lower it."""
    assert len(PRESETS) == 8
    case = make_case(seed=2, drift=0.0, rows=12, dtype=torch.float64)
    slope = torch.autograd.grad(case.stats.entropy_BT.sum(), case.logits_BTV, retain_graph=True)[0]

    def flow(dials):
        return -(gradient_of(dials, case) * slope).sum().item()

    plain = flow(case.view().dials)
    for name, preset in PRESETS.items():
        change = flow(turned(Quadrant(**preset, boundary="exact"), case)) - plain
        assert change > 1e-4 if name.startswith("raise") else change < -1e-4, name


def test_quantile_share_and_ends():
    case = make_case(seed=3)
    positive = replace(case, batch=replace(case.batch, advantages_BT=case.batch.loss_mask_BT.float()))
    for quantile in (0.0, 0.25, 0.5, 1.0):
        method = Quadrant(factor_2=0.0, boundary="batch_quantile", boundary_quantile=quantile)
        assert (weights(method, positive) == 0).sum() == int(quantile * case.batch.num_tokens)


def test_only_the_weight_is_turned_and_it_scales_each_token_s_gradient():
    case = make_case(seed=4, drift=1.0)
    dials = turned(Quadrant(**NAMED, entropy_source="live"), case)
    assert_turns_only(dials, case, "weight_BT")
    assert_detached(dials)
    torch.testing.assert_close(
        gradient_of(dials, case), gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    )


def test_factors_of_one_are_the_baseline_bit_for_bit():
    for boundary in ("kappa", "batch_quantile"):
        assert_baseline(Quadrant(boundary=boundary), make_case(seed=5, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope):
    method = Quadrant(**NAMED, boundary="batch_quantile", scope=scope)
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=6, rows=8, drift=0.5))
    assert_same_in_every_cut(lambda: Quadrant(**NAMED), make_case(seed=6, rows=8, drift=0.5))


def test_only_a_quantile_needs_a_population():
    assert Quadrant(scope="update").population_scope == "micro_batch"
    method = Quadrant(**NAMED, boundary="batch_quantile", scope="micro_batch")
    case = make_case(seed=6, rows=8, drift=0.5)
    split = np.concatenate([weights(method, part) for part in cut(case, [1] * 8)])
    assert (split != weights(method, case)).any()


@pytest.mark.parametrize("boundary", ["kappa", "exact", "fixed_p", "batch_quantile"])
def test_edges_stay_finite(boundary):
    assert_finite_at_the_edges(lambda: Quadrant(**NAMED, boundary=boundary))


def test_a_negative_factor_is_refused():
    with pytest.raises(ValidationError):
        Quadrant(factor_1=-0.5)
