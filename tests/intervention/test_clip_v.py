from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steerctl.entropy.change import entropy_change
from steerctl.intervention._remarks import Surroundings
from steerctl.intervention.clip_v import ClipV
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

EAGER = ClipV(mu=0.5, max_fraction=0.1)


def dropped(method, case, **when):
    return (turned(method, case, **when).weight_BT[case.batch.loss_mask_BT] == 0).numpy()


def of_excess(excess, advantages):
    """Tokens of these x = S̄ − S, with S = 0: π = ½, H = ln 2."""
    case = make_case(rows=1, length=len(excess))
    logprobs = torch.full((1, len(excess)), float(np.log(0.5)))
    old = replace(case.stats, logprobs_BT=logprobs, entropy_BT=-logprobs, mean_score_BT=torch.tensor([excess]))
    batch = replace(
        case.batch,
        loss_mask_BT=torch.ones_like(logprobs, dtype=torch.bool),
        advantages_BT=torch.tensor([advantages]),
        old=old,
        num_tokens=len(excess),
    )
    return replace(case, batch=batch, stats=old)


def test_golden():
    # x = 5, 5, 3, 3: deviation 1 about the mean 4; x itself is compared with μ·1
    case = of_excess([5.0, 5.0, 3.0, 3.0], [-1.0, 1.0, -1.0, 0.0])
    assert dropped(ClipV(mu=4.0, max_fraction=1.0), case).tolist() == [True, False, False, False]
    assert dropped(ClipV(mu=2.9, max_fraction=1.0), case).tolist() == [True, False, True, False]
    assert dropped(ClipV(mu=2.9), case).tolist() == [True, False, False, False]  # one, at least
    assert dropped(ClipV(mu=5.0, max_fraction=1.0), case).sum() == 0
    kept = turned(ClipV(mu=2.9, max_fraction=1.0), case).weight_BT[0].tolist()
    assert kept == pytest.approx([0, 2, 0, 2])
    flat = turned(ClipV(mu=2.9, max_fraction=1.0, denominator="all"), case).weight_BT[0].tolist()
    assert flat == [0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("source", ["old", "live"])
@pytest.mark.parametrize("fraction", [1e-4, 0.05, 1.0])
def test_oracle(seed, source, fraction):
    case = make_case(seed=seed, drift=0.8, rows=8, length=20)
    mask, stats = case.batch.loss_mask_BT, case.batch.old_stats if source == "old" else case.stats
    tensors = (stats.logprobs_BT, stats.entropy_BT, stats.mean_score_BT, case.batch.advantages_BT)
    logprobs, entropy, means, advantages = (tensor[mask].detach().double().numpy() for tensor in tensors)
    scores = [oracle.score(p, h) for p, h in zip(np.exp(logprobs), entropy, strict=True)]
    expected = oracle.clip_v(scores, means, advantages, 0.3, fraction)
    method = ClipV(mu=0.3, max_fraction=fraction, entropy_source=source)
    np.testing.assert_array_equal(dropped(method, case), expected)
    assert sum(expected) >= 1
    assert fraction > 1e-4 or sum(expected) == 1


def test_it_drops_those_whose_punishment_lowers_entropy_most():
    """By the first-order change of the state's entropy, w = A = −1."""
    case = make_case(seed=1, drift=0.0, rows=8, length=20)
    case = replace(case, batch=replace(case.batch, advantages_BT=-1.0 * case.batch.loss_mask_BT))
    mask, stats = case.batch.loss_mask_BT, case.stats
    change = entropy_change(
        "exact",
        weight=case.batch.advantages_BT,
        logprobs=stats.logprobs_BT,
        entropy=stats.entropy_BT,
        mean_score=stats.mean_score_BT,
    )[mask].numpy()
    gone = dropped(EAGER, case)
    assert gone.sum() == int(0.1 * mask.sum())
    assert change[gone].max() < change[~gone].min()
    assert change[gone].max() < 0


def test_selected_is_the_mean_over_kept_tokens():
    case = make_case(seed=2, drift=0.3)
    dials = turned(EAGER, case)
    kept = case.batch.loss_mask_BT & (dials.weight_BT > 0)
    shrunk = replace(case, batch=replace(case.batch, loss_mask_BT=kept, num_tokens=int(kept.sum())))
    torch.testing.assert_close(loss_of(dials, case), loss_of(shrunk.view().dials, shrunk))
    assert int(kept.sum()) < case.batch.num_tokens


def test_dropped_tokens_have_no_gradient_and_the_others_theirs():
    case = make_case(seed=3, drift=0.2)
    dials = turned(ClipV(mu=0.3, max_fraction=0.2, denominator="all"), case)
    assert_detached(dials)
    assert_turns_only(dials, case, "weight_BT")
    expected = gradient_of(case.view().dials, case) * dials.weight_BT[..., None]
    torch.testing.assert_close(gradient_of(dials, case), expected)
    assert (dials.weight_BT == 0).any()


def test_neutral_settings_are_the_baseline_bit_for_bit():
    for neutral in (ClipV(mu=float("inf")), ClipV(mu=0.1, max_fraction=0.0)):
        assert_baseline(neutral, make_case(seed=4, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("source", ["old", "live"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, source):
    method = EAGER.model_copy(update={"scope": scope, "entropy_source": source})
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=5, rows=8, drift=0.5))


def test_edges_stay_finite():
    for scope in ("micro_batch", "step"):
        assert_finite_at_the_edges(lambda scope=scope: ClipV(mu=0.01, max_fraction=0.5, scope=scope))
        assert_finite_at_the_edges(lambda scope=scope: ClipV(mu=float("inf"), scope=scope))


def test_a_batch_without_spread_keeps_every_token():
    assert dropped(ClipV(mu=1e-9, max_fraction=1.0), of_excess([0.5] * 4, [-1.0] * 4)).sum() == 0


def test_remarks():
    around = Surroundings(100, 4, 8, "token_mean", "ppo_clip", "token", dynamic_sampling=False)
    assert list(ClipV().remarks(around)) == []
    for settings in ({"mu": float("inf")}, {"max_fraction": 0.0}):
        assert "drops no token" in next(ClipV(**settings).remarks(around))
    other = replace(around, reduction="seq_mean_token_mean")
    assert "denominator selected has another meaning" in next(ClipV().remarks(other))
