from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from steerctl.intervention._remarks import Surroundings
from steerctl.intervention.clip_b import ClipB
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
from tests.oracles import intervention_b as oracle

EAGER = ClipB(mu=0.5)


def arrays(case, stats):
    mask = case.batch.loss_mask_BT
    tensors = (case.batch.advantages_BT, stats.logprobs_BT, stats.entropy_BT)
    advantages, logprobs, entropy = (tensor[mask].detach().double().numpy() for tensor in tensors)
    return advantages, [oracle.score(p, h) for p, h in zip(np.exp(logprobs), entropy, strict=True)]


def factors(method, case, **when):
    return turned(method, case, **when).weight_BT[case.batch.loss_mask_BT].numpy()


def certain_and(scores, advantages):
    """Tokens of these S: π = ½, H = 2S + ln 2."""
    case = make_case(rows=1, length=len(scores))
    logprobs = torch.full((1, len(scores)), float(np.log(0.5)))
    entropy = 2 * torch.tensor([scores]) + float(np.log(2))
    old = replace(case.stats, logprobs_BT=logprobs, entropy_BT=entropy)
    batch = replace(
        case.batch,
        loss_mask_BT=torch.ones_like(logprobs, dtype=torch.bool),
        advantages_BT=torch.tensor([advantages]),
        old=old,
        num_tokens=len(scores),
    )
    return replace(case, batch=batch, stats=old)


def test_golden():
    # S = 0, 0, 0, 4: mean 1, deviation √3; −4, 0, 0, 0 mirrored: the token at −4 lies √3 deviations below
    case = certain_and([0.0, 0.0, 0.0, -4.0], [-1.0, 1.0, -1.0, -1.0])
    assert factors(ClipB(mu=1.7), case) == pytest.approx([4 / 3, 4 / 3, 4 / 3, 0])
    assert factors(ClipB(mu=1.7, denominator="all"), case).tolist() == [1, 1, 1, 0]
    assert factors(ClipB(mu=1.8), case).tolist() == [1, 1, 1, 1]
    right = certain_and([0.0, 0.0, 0.0, -4.0], [-1.0, 1.0, -1.0, 1.0])
    assert factors(ClipB(mu=1.7), right).tolist() == [1, 1, 1, 1]
    zero = certain_and([0.0, 0.0, 0.0, -4.0], [-1.0, 1.0, -1.0, 0.0])
    assert factors(ClipB(mu=1.7), zero).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("source", ["old", "live"])
def test_oracle(seed, source):
    case = make_case(seed=seed, drift=0.8, rows=8, length=20)
    advantages, scores = arrays(case, case.batch.old_stats if source == "old" else case.stats)
    dropped = oracle.clip_b(scores, advantages, 0.5)
    actual = factors(ClipB(mu=0.5, entropy_source=source), case)
    expected = np.where(dropped, 0.0, len(dropped) / (len(dropped) - sum(dropped)))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert 0 < sum(dropped) < len(dropped)
    assert all(a < 0 for a, gone in zip(advantages, dropped, strict=True) if gone)


def test_old_and_live_choose_differently_and_old_holds_still():
    case = make_case(seed=1, drift=1.0, rows=8, length=20)
    assert (factors(EAGER, case) != factors(ClipB(mu=0.5, entropy_source="live"), case)).any()
    np.testing.assert_array_equal(factors(EAGER, case), factors(EAGER, case, update=3))


def test_selected_is_the_mean_over_kept_tokens():
    case = make_case(seed=2, drift=0.3)
    dials = turned(EAGER, case)
    kept = case.batch.loss_mask_BT & (dials.weight_BT > 0)
    shrunk = replace(case, batch=replace(case.batch, loss_mask_BT=kept, num_tokens=int(kept.sum())))
    torch.testing.assert_close(loss_of(dials, case), loss_of(shrunk.view().dials, shrunk))
    assert int(kept.sum()) < case.batch.num_tokens


def test_dropped_tokens_have_no_gradient_and_the_others_theirs():
    case = make_case(seed=3, drift=0.2)
    dials = turned(ClipB(mu=0.5, denominator="all"), case)
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT")
    expected = gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)
    assert (dials.weight_BT == 0).any()


def test_an_infinite_bound_is_the_baseline_bit_for_bit():
    assert_baseline(ClipB(mu=float("inf")), make_case(seed=4, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("source", ["old", "live"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, source):
    method = ClipB(mu=0.5, scope=scope, entropy_source=source)
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=5, rows=8, drift=0.5))


def test_edges_stay_finite():
    for scope in ("micro_batch", "step"):
        for mu in (0.01, float("inf")):
            assert_finite_at_the_edges(lambda scope=scope, mu=mu: ClipB(mu=mu, scope=scope))


def test_a_batch_without_spread_keeps_every_token():
    case = certain_and([0.25] * 4, [-1.0] * 4)
    assert factors(ClipB(mu=1e-9), case).tolist() == [1, 1, 1, 1]


def test_a_bound_above_the_mean_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        ClipB(mu=-1.0)


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(ClipB().remarks(around)) == []
    assert "infinite mu" in next(ClipB(mu=float("inf")).remarks(around))
    other = replace(around, reduction="seq_mean_token_mean")
    assert "denominator selected has another meaning" in next(ClipB().remarks(other))
    assert list(ClipB(denominator="all").remarks(other)) == []
