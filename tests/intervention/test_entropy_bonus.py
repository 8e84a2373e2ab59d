from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention.entropy_bonus import EntropyBonus
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_turns_only,
    gradient_of,
    loss_of,
    turned,
)
from tests.oracles import intervention_a as oracle


def test_golden_uniform_state_is_worth_the_logarithm_of_its_size():
    case = make_case(rows=1, vocabulary=8, sharpness=0.0, drift=0.0)
    dials = turned(EntropyBonus(entropy_coef=0.5), case)
    assert dials.penalty_BT[case.batch.loss_mask_BT].tolist() == pytest.approx(
        [-0.5 * math.log(8)] * case.batch.num_tokens
    )


def test_oracle_value_and_gradient_through_the_loss():
    case = make_case(seed=1, drift=0.5, dtype=torch.float64)
    mask, neutral = case.batch.loss_mask_BT, case.view().dials
    dials = turned(EntropyBonus(entropy_coef=0.3), case)
    logits_NV = case.logits_BTV.detach()[mask].numpy()
    entropies = [oracle.entropy(row) for row in logits_NV]
    np.testing.assert_allclose(dials.penalty_BT[mask].detach(), -0.3 * np.array(entropies), rtol=1e-10)
    difference = gradient_of(dials, case) - gradient_of(neutral, case)
    expected = np.stack([-0.3 * oracle.entropy_slope(row) for row in logits_NV]) / case.batch.num_tokens
    np.testing.assert_allclose(difference[mask], expected, rtol=1e-7, atol=1e-12)
    assert loss_of(dials, case).item() == pytest.approx(
        loss_of(neutral, case).item() - 0.3 * np.sum(entropies) / case.batch.num_tokens
    )


def test_only_the_penalty_is_turned_and_the_advantage_does_not_matter():
    case = make_case(seed=2)
    dials = turned(EntropyBonus(entropy_coef=0.1), case)
    assert_turns_only(dials, case, "penalty_BT")
    assert_detached(dials, penalty=True)
    twice = turned(EntropyBonus(entropy_coef=0.1), case, dials)
    torch.testing.assert_close(twice.penalty_BT, 2 * dials.penalty_BT)


def test_coefficient_zero_is_the_baseline_bit_for_bit():
    assert_baseline(EntropyBonus(entropy_coef=0.0), make_case(seed=3, drift=0.5))


def test_edges_stay_finite():
    assert_finite_at_the_edges(lambda: EntropyBonus(entropy_coef=1.0))


def test_what_it_declares_and_refuses():
    assert EntropyBonus.needs == {"entropy_grad"}
    assert not EntropyBonus.inert_when_on_policy
    assert EntropyBonus().population_scope == "micro_batch"
    for wrong in (-0.1, math.inf):
        with pytest.raises(ValidationError):
            EntropyBonus(entropy_coef=wrong)
