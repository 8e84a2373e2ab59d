from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention.entropy_advantage import EntropyAdvantage
from tests.batches import make_case
from tests.intervention.populations import (
    assert_baseline,
    assert_detached,
    assert_finite_at_the_edges,
    assert_turns_only,
    gradient_of,
    turned,
)
from tests.oracles import intervention_a as oracle


def test_golden():
    case = make_case(rows=1, length=5)
    entropy = torch.tensor([[0.0, 0.5, 5.0, 5.0, 1.0]])
    advantages = torch.tensor([[1.0, 1.0, 1.0, -1.0, 0.0]])
    batch = replace(case.batch, loss_mask_BT=torch.ones(1, 5, dtype=torch.bool), advantages_BT=advantages)
    case = replace(case, batch=batch, stats=replace(case.stats, entropy_BT=entropy))
    assert turned(EntropyAdvantage(), case).advantages_BT[0].tolist() == pytest.approx([1.0, 1.2, 1.5, -0.5, 0.0])


@pytest.mark.parametrize("source", ["old", "live"])
@pytest.mark.parametrize(("alpha", "kappa"), [(0.4, 2.0), (0.1, 1.5), (3.0, 4.0)])
def test_oracle(source, alpha, kappa):
    case = make_case(seed=1, drift=1.0)
    mask = case.batch.loss_mask_BT
    entropies = (case.stats if source == "live" else case.batch.old_stats).entropy_BT[mask].tolist()
    advantages = case.batch.advantages_BT[mask].tolist()
    expected = [oracle.entropy_advantage(a, h, alpha, kappa) for a, h in zip(advantages, entropies, strict=True)]
    actual = turned(EntropyAdvantage(alpha=alpha, kappa=kappa, entropy_source=source), case).advantages_BT[mask]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert (np.sign(actual) == np.sign(advantages)).all()


def test_entropy_is_detached_and_each_token_s_gradient_is_rescaled():
    case = make_case(seed=2, drift=0.0)
    dials = turned(EntropyAdvantage(), case)
    assert_detached(dials)
    assert_turns_only(dials, case, "advantages_BT")
    factor = torch.where(case.batch.loss_mask_BT, dials.advantages_BT / case.batch.advantages_BT, 0.0)
    expected = gradient_of(case.view().dials, case) * factor.nan_to_num()[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)
    assert not torch.allclose(factor[case.batch.loss_mask_BT], torch.ones(()), atol=1e-2)


def test_alpha_zero_is_the_baseline_bit_for_bit():
    assert_baseline(EntropyAdvantage(alpha=0.0), make_case(seed=3, drift=0.5))


def test_edges_stay_finite():
    assert_finite_at_the_edges(EntropyAdvantage)


def test_a_kappa_that_would_turn_the_sign_is_refused():
    with pytest.raises(ValidationError):
        EntropyAdvantage(kappa=1.0)
    assert EntropyAdvantage().population_scope == "micro_batch"
