from __future__ import annotations

import re
from dataclasses import fields, replace
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.intervention import Population, fold
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.kl import Kl
from steerctl.intervention.steer import Steer
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import token_loss
from tests.batches import cut, make_case
from tests.oracles import intervention as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper_v4: .*?(?=\n\n)", Steer.__doc__, re.DOTALL | re.MULTILINE).group())
RELEASED = Steer(**PRESETS["released"])


def turned(steer, case, dials=None):
    """Weights of the case's own population, whatever the scope."""
    view = case.view() if dials is None else replace(case.view(), dials=dials)
    return steer.prepare(Population.alone(view))(view.dials, case.batch, case.stats)


def arrays(case):
    """Trained tokens in float64: A, log π, log π_old, H_old."""
    mask, batch = case.batch.loss_mask_BT, case.batch
    tensors = (batch.advantages_BT, case.stats.logprobs_BT, batch.old_stats.logprobs_BT, batch.old_stats.entropy_BT)
    return [tensor[mask].detach().double().numpy() for tensor in tensors]


def weights(steer, case):
    return turned(steer, case).weight_BT[case.batch.loss_mask_BT].numpy()


def test_presets_stand_in_the_docstring():
    assert list(PRESETS) == ["paper_v4", "paper_v1", "released", "released_linear", "released_asymmetric"]
    assert Steer(**PRESETS["paper_v4"]) == Steer()
    for preset in PRESETS.values():
        assert Steer(**preset).kind == "steer"
    assert (RELEASED.scope, RELEASED.population_scope, RELEASED.floor) == ("micro_batch", "micro_batch", 0.02)


# --- the released code -------------------------------------------------------------------------------------------


def test_golden_released_token():
    # A = 2, π = π_old = 1/2, H_old = 0.3: Ω = −(2/½)·¼·(ln ½ + 0.3) = 0.393147; its λ is λ_min, being the largest.
    case = make_case(rows=1, length=4)
    full = torch.full((1, 4), 0.0)
    old = replace(case.stats, logprobs_BT=full + np.log(0.5), entropy_BT=full + 0.3)
    batch = replace(
        case.batch,
        loss_mask_BT=torch.tensor([[True, True, True, False]]),
        advantages_BT=torch.tensor([[2.0, 1.0, 0.0, 9.0]]),
        old=old,
    )
    dials = RELEASED.apply(PpoClip().neutral_dials(batch), batch, old)
    # half the metric gives the root of λ_min, none gives 1, and a masked token is left alone
    assert dials.weight_BT.tolist()[0] == pytest.approx([0.8, 0.8**0.5, 1.0, 1.0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "mapping"), [("released", "exponential"), ("released_linear", "linear")])
def test_released_code(seed, name, mapping):
    case = make_case(seed=seed, drift=1.0, vocabulary=40, rows=8, length=20)
    omega = oracle.released_metric(*arrays(case))
    expected = oracle.released_weights(omega, mapping=mapping, low=0.8, high=1.2)
    np.testing.assert_allclose(weights(Steer(**PRESETS[name]), case), expected, rtol=2e-6)


@pytest.mark.parametrize("mapping", ["exponential", "linear"])
def test_released_asymmetric_mode(mapping):
    case = make_case(seed=1, drift=1.0)
    omega = oracle.released_metric(*arrays(case))
    expected = oracle.released_weights(omega, mapping=mapping, low=0.8, high=1.1, asymmetric=True)
    steer = Steer(**PRESETS["released_asymmetric"] | {"mapping": mapping, "weight_max": 1.1})
    actual = weights(steer, case)
    np.testing.assert_allclose(actual, expected, rtol=2e-6)
    assert (actual[omega < 0] < 1).all() or mapping == "linear"
    assert actual[np.argmax(omega)] == pytest.approx(1.1, abs=0.02 if mapping == "exponential" else 1e-6)


def test_released_exponential_never_exceeds_one_whatever_weight_max_is():
    case = make_case(seed=2)
    wide = Steer(**PRESETS["released"] | {"weight_max": 1.2})
    assert weights(wide, case).max() <= 1
    np.testing.assert_array_equal(weights(wide, case), weights(RELEASED, case))


def test_released_floor_spares_a_micro_batch_in_which_nothing_is_large():
    case = make_case(seed=3)
    small = replace(case, batch=replace(case.batch, advantages_BT=case.batch.advantages_BT * 1e-5))
    assert weights(RELEASED, small).min() > 0.99
    assert weights(Steer(**PRESETS["released"] | {"floor": 0.0}), small).min() == pytest.approx(0.8)


def test_released_linear_gives_the_midpoint_where_all_are_equal():
    case = make_case(seed=3)
    none = replace(case, batch=replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT)))
    steer = Steer(**PRESETS["released_linear"] | {"weight_max": 1.3})
    np.testing.assert_allclose(weights(steer, none), 1.05, rtol=1e-6)
    assert (weights(RELEASED, none) == 1).all()
    assert (weights(Steer(), none) == 1).all()


def test_five_departures_of_the_released_code_from_the_paper():
    """(1 − π) once; no clip indicator; H of the old policy; clamped and finite; one micro-batch's largest."""
    case = make_case(seed=4, drift=1.0)
    advantages, logp, old, entropy = arrays(case)
    omega = oracle.released_metric(advantages, logp, old, entropy)
    share = np.log(weights(RELEASED, case)) / np.log(0.8)
    np.testing.assert_allclose(share, np.abs(omega) / np.abs(omega).max(), rtol=1e-3, atol=1e-6)

    clipped = Steer(**PRESETS["released"] | {"use_clip_indicator": True})
    ratio = np.exp(logp - old)
    blocked = ((advantages > 0) & (ratio > 1.2)) | ((advantages < 0) & (ratio < 0.8))
    assert blocked.any()
    assert (weights(clipped, case)[blocked] == 1).all()
    assert (weights(RELEASED, case)[blocked & (omega != 0)] < 1).any()

    live = Steer(**PRESETS["released"] | {"entropy_source": "live"})
    assert not np.allclose(weights(live, case), weights(RELEASED, case), atol=1e-3)

    lost_BT = torch.full_like(case.stats.logprobs_BT, -200.0)  # π_old would be 0
    lost = replace(case, batch=replace(case.batch, old=replace(case.batch.old_stats, logprobs_BT=lost_BT)))
    assert np.isfinite(weights(RELEASED, lost)).all()

    halves = [weights(RELEASED, part) for part in cut(case, [3, 3])]
    assert all(half.min() == pytest.approx(0.8) for half in halves)
    assert not np.allclose(np.concatenate(halves), weights(RELEASED, case), atol=1e-3)


# --- every form, mapping, sign ------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["exact", "own_logit", "squared", "covariance"])
@pytest.mark.parametrize("sign", ["both", "decreasing_only", "increasing_only", "asymmetric"])
def test_forms_of_the_theory(estimator, sign):
    case = make_case(seed=5, drift=1.0, rows=12)
    advantages, logp, old, _ = arrays(case)
    ratio = np.exp(logp - old)
    passes = ~(((advantages > 0) & (ratio > 1.2)) | ((advantages < 0) & (ratio < 0.8)))
    mask = case.batch.loss_mask_BT
    entropy, mean_score = (
        tensor[mask].detach().double().numpy() for tensor in (case.stats.entropy_BT, case.stats.mean_score_BT)
    )
    omega = oracle.own_change(passes * ratio * advantages, logp, entropy, mean_score, estimator)
    m = {
        "both": np.abs(omega),
        "decreasing_only": np.maximum(-omega, 0),
        "increasing_only": np.maximum(omega, 0),
        "asymmetric": -omega,
    }[sign]
    expected = np.clip(np.exp(np.log(0.7) * m / np.abs(m).max()), 0.7, 1.2)
    steer = Steer(estimator=estimator, sign=sign, weight_max=1.2)
    np.testing.assert_allclose(weights(steer, case), expected, rtol=1e-5)


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.01, 1), (0.1, 3), (1.0, 30)])
def test_binary_damps_the_largest(fraction, count):
    case = make_case(seed=6)
    share = np.log(weights(Steer(), case)) / np.log(0.7)
    moving = int((share > 0).sum())
    assert (case.batch.num_tokens, 3 < moving < 30) == (30, True)
    actual = weights(Steer(mapping="binary", denominator="all", weight_max=1.5, binary_fraction=fraction), case)
    damped = actual < 1
    assert damped.sum() == min(count, moving)
    np.testing.assert_allclose(actual, np.where(damped, 0.7, 1.5), rtol=1e-6)
    if 0 < count < 30:
        assert share[damped].min() > share[~damped].max()


def test_binary_may_drop_tokens_altogether():
    assert (weights(Steer(mapping="binary", weight_min=0.0), make_case(seed=6)) == 0).sum() == 1


def test_binary_leaves_alone_what_changes_nothing():
    case = make_case(seed=6)
    none = replace(case, batch=replace(case.batch, advantages_BT=torch.zeros_like(case.batch.advantages_BT)))
    assert (weights(Steer(mapping="binary", binary_fraction=1.0), none) == 1).all()


def test_entropy_source_only_matters_off_policy():
    drifted, fresh = make_case(seed=7, drift=1.0), make_case(seed=7, drift=0.0)
    old, live = Steer(entropy_source="old", estimator="exact"), Steer(entropy_source="live", estimator="exact")
    np.testing.assert_allclose(weights(old, fresh), weights(live, fresh), rtol=1e-6)
    assert not np.allclose(weights(old, drifted), weights(live, drifted), atol=1e-3)


def test_sum_weight_makes_the_mean_weight_one():
    case = make_case(seed=8)
    plain, scaled = weights(Steer(), case), weights(Steer(denominator="sum_weight"), case)
    assert scaled.mean() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(scaled * plain.mean(), plain, rtol=1e-6)


def test_zero_weight_min_is_refused_where_a_logarithm_or_a_quotient_is_taken():
    for settings in ({}, {"mapping": "linear", "denominator": "sum_weight"}):
        with pytest.raises(ValidationError, match="weight_min must be above 0"):
            Steer(weight_min=0.0, **settings)


# --- scopes -------------------------------------------------------------------------------------------------------


def on_two_ranks(steer, own_parts):
    """Weights of each rank's micro-batches, the ranks being threads that meet in all_gather."""
    barrier, slots, results = Barrier(2, timeout=20), [None, None], [None, None]

    def run(rank):
        def all_gather(value):
            slots[rank] = value
            barrier.wait()
            both = list(slots)
            barrier.wait()
            return both

        parts = own_parts[rank]
        turn = steer.prepare(Population(tuple(part.view() for part in parts), all_gather))
        views = [part.view() for part in parts]
        results[rank] = [turn(view.dials, view.batch, view.stats).weight_BT for view in views]

    threads = [Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return torch.cat([*results[0], *results[1]])


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("mapping", ["exponential", "linear", "binary"])
@pytest.mark.parametrize("estimator", ["exact", "released", "covariance"])
@pytest.mark.parametrize("denominator", ["all", "sum_weight"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, mapping, estimator, denominator):
    case = make_case(seed=9, drift=0.8, rows=8)
    steer = Steer(estimator=estimator, mapping=mapping, scope=scope, denominator=denominator, binary_fraction=0.2)
    assert steer.population_scope == scope
    whole = turned(steer, case).weight_BT
    assert whole.std() > 0.01
    for sizes in ([2, 6], [1] * 8):
        parts = cut(case, sizes)
        views = tuple(part.view() for part in parts)
        turn = steer.prepare(Population(views, lambda value: [value]))
        split = torch.cat([turn(view.dials, view.batch, view.stats).weight_BT for view in views])
        torch.testing.assert_close(split, whole, rtol=1e-6, atol=1e-6)
    first, second, third = cut(case, [3, 3, 2])
    ranks = on_two_ranks(steer, ((first, second), (third,)))
    torch.testing.assert_close(ranks, whole, rtol=1e-6, atol=1e-6)


def test_micro_batch_scope_depends_on_the_split():
    case = make_case(seed=9, drift=0.8, rows=8)
    split = np.concatenate([weights(RELEASED, part) for part in cut(case, [4, 4])])
    assert not np.allclose(split, weights(RELEASED, case), atol=1e-3)


def test_a_token_above_the_population_s_largest_still_gets_weight_min():
    case = make_case(seed=10)
    view = case.view()
    smaller = replace(view.batch, advantages_BT=view.batch.advantages_BT / 10)
    for mapping in ("exponential", "linear"):
        turn = Steer(mapping=mapping, scope="step").prepare(
            Population.alone(replace(view, batch=smaller, dials=PpoClip().neutral_dials(smaller)))
        )
        actual = turn(view.dials, view.batch, view.stats).weight_BT
        assert actual.min() == pytest.approx(0.7)
        assert (actual == actual.min()).sum() > 1


def test_a_padding_micro_batch_is_left_alone():
    case = make_case(seed=11)
    empty = replace(case.batch, loss_mask_BT=torch.zeros_like(case.batch.loss_mask_BT))
    for settings in ({}, {"estimator": "covariance"}, {"denominator": "sum_weight"}, {"mapping": "binary"}):
        steer = Steer(scope="micro_batch", **settings)
        dials = steer.apply(PpoClip().neutral_dials(empty), empty, case.stats)
        assert (dials.weight_BT == 1).all()


# --- with the loss and with others --------------------------------------------------------------------------------


def loss_of(turns, case, logprobs=None):
    stats = case.stats if logprobs is None else replace(case.stats, logprobs_BT=logprobs)
    loss = PpoClip()
    dials = fold(turns, loss.neutral_dials(case.batch), case.batch, stats)
    return token_loss(dials, loss(dials, case.batch, stats), case.batch, "token_mean", 1)


def test_neutral_settings_are_the_baseline_bit_for_bit():
    case = make_case(seed=12)
    neutral = Steer(weight_min=1.0, scope="micro_batch")
    values = [loss_of(turns, case) for turns in ([], [neutral.apply])]
    gradients = [torch.autograd.grad(value, case.logits_BTV, retain_graph=True)[0] for value in values]
    assert torch.equal(*values)
    assert torch.equal(*gradients)


def test_the_empty_list_is_the_identity():
    case = make_case(seed=12)
    dials = case.view().dials
    assert fold([], dials, case.batch, case.stats) is dials


@pytest.mark.parametrize("name", PRESETS)
def test_weights_are_detached_and_scale_each_token_s_gradient(name):
    case = make_case(seed=13, drift=1.0)
    steer = Steer(**PRESETS[name])
    dials = turned(steer, case)
    assert not dials.weight_BT.requires_grad
    turn = steer.prepare(Population.alone(case.view()))
    logprobs = case.stats.logprobs_BT.detach().requires_grad_()
    plain, steered = (torch.autograd.grad(loss_of(turns, case, logprobs), logprobs)[0] for turns in ([], [turn]))
    torch.testing.assert_close(steered, plain * dials.weight_BT)
    assert (steered[~case.batch.loss_mask_BT] == 0).all()
    assert not torch.equal(steered, plain)


def test_only_the_weight_is_turned_and_nothing_in_place():
    case = make_case(seed=14)
    view = case.view()
    before = {field.name: getattr(view.dials, field.name).clone() for field in fields(view.dials)}
    dials = turned(Steer(), case, view.dials)
    for field in fields(dials):
        assert torch.equal(getattr(view.dials, field.name), before[field.name])
        if field.name != "weight_BT":
            assert getattr(dials, field.name) is getattr(view.dials, field.name)


def test_order_matters_where_one_reads_what_the_other_turns():
    case = make_case(seed=15, drift=1.0)
    steer, higher = Steer(scope="micro_batch"), ClipHigher(clip_ratio_high=5.0, clip_ratio_low=0.99)
    before = fold([higher.apply, steer.apply], case.view().dials, case.batch, case.stats)
    after = fold([steer.apply, higher.apply], case.view().dials, case.batch, case.stats)
    assert torch.equal(before.clip_high_BT, after.clip_high_BT)
    assert not torch.allclose(before.weight_BT, after.weight_BT, atol=1e-3)
    indifferent = Kl(kl_coef=0.1)
    left = fold([steer.apply, indifferent.apply], case.view().dials, case.batch, case.stats)
    right = fold([indifferent.apply, steer.apply], case.view().dials, case.batch, case.stats)
    assert all(torch.equal(getattr(left, field.name), getattr(right, field.name)) for field in fields(left))


def test_a_token_masked_by_an_earlier_intervention_does_not_set_the_scale():
    case = make_case(seed=16)
    dials = case.view().dials
    weight = weights(Steer(), case)
    largest = torch.zeros_like(dials.weight_BT)
    largest[case.batch.loss_mask_BT] = torch.from_numpy((weight == weight.min()).astype(np.float32))
    masked = turned(Steer(), case, replace(dials, weight_BT=1 - largest)).weight_BT
    assert (masked[largest.bool()] == 0).all()
    kept = masked[case.batch.loss_mask_BT & ~largest.bool()]
    assert kept.min() == pytest.approx(0.7)
