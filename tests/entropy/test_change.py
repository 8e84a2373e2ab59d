from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steerctl.entropy.change import (
    ESTIMATOR_NEEDS,
    Means,
    clip_indicator,
    covariance_population,
    entropy_change,
    quadrant,
    score,
)
from steerctl.entropy.stats import stats_from_logits
from tests.oracles import entropy as oracle

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/entropy.json").read_text())
FIVE_WAY = torch.tensor([0.629, 0.23, 0.106, 0.0308, 0.0042], dtype=torch.float64)
logit_rows = st.lists(st.floats(-15, 15), min_size=2, max_size=12)


def states(seed=0, count=60, vocabulary=9, scale=2.0):
    """Random states, one sampled action each, and random coefficients."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, vocabulary, generator=generator, dtype=torch.float64)
    actions = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    weight, advantages, shift = torch.randn(3, count, generator=generator, dtype=torch.float64)
    stats = stats_from_logits(logits, actions)
    arguments = {
        "weight": weight,
        "logprobs": stats.logprobs_N,
        "entropy": stats.entropy_N,
        "mean_score": stats.mean_score_N,
        "advantages": advantages,
        "old_logprobs": (stats.logprobs_N + 0.2 * shift).clamp(max=0),
        "means": Means(weight.mean(), stats.logprobs_N.mean()),
        "sensitivity": shift,
    }
    return logits, actions, arguments


def change_of_action(logits_V, action, weight=1.0, estimator="exact"):
    stats = stats_from_logits(torch.as_tensor(logits_V, dtype=torch.float64)[None], torch.tensor([action]))
    weight = torch.tensor([weight], dtype=torch.float64)
    change = entropy_change(
        estimator, weight=weight, logprobs=stats.logprobs_N, entropy=stats.entropy_N, mean_score=stats.mean_score_N
    )
    return change.item()


@pytest.mark.parametrize("estimator", ["exact", "own_logit", "squared"])
def test_weighted_estimators_equal_the_oracle(estimator):
    logits, actions, arguments = states()
    found = entropy_change(estimator, **arguments)
    rows = zip(logits.numpy(), actions.tolist(), arguments["weight"].tolist(), strict=True)
    np.testing.assert_allclose(found, [getattr(oracle, estimator)(*row) for row in rows], rtol=1e-10, atol=1e-14)


def test_released_equals_the_oracle():
    logits, actions, arguments = states(scale=8.0)
    numbers = [arguments[name].tolist() for name in ("advantages", "old_logprobs")]
    rows = zip(logits.numpy(), actions.tolist(), *numbers, strict=True)
    wanted = [oracle.released(*row) for row in rows]
    np.testing.assert_allclose(entropy_change("released", **arguments), wanted, rtol=1e-9, atol=1e-14)


def test_released_holds_probabilities_and_drops_what_is_not_finite():
    logprobs = torch.tensor([-50.0, 0.0, -1.0])
    change = entropy_change(
        "released",
        weight=torch.ones(3),
        logprobs=logprobs,
        entropy=torch.tensor([0.3, 0.3, float("inf")]),
        advantages=torch.ones(3),
        old_logprobs=logprobs,
    )
    # π = π_old = 1e-8: −1·(log 1e-8 + 0.3); π = 1: 1 − π = 0; H = ∞: dropped.
    torch.testing.assert_close(change, torch.tensor([18.1206807, 0.0, 0.0]))


def test_covariance_equals_the_oracle_and_is_the_callers_scope():
    _, _, arguments = states()
    found = entropy_change("covariance", **arguments)
    wanted = oracle.covariance(arguments["weight"].numpy(), arguments["logprobs"].numpy())
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    cov = np.cov(arguments["weight"], arguments["logprobs"], bias=True)[0, 1]
    assert found.mean().item() == pytest.approx(-cov)
    other = entropy_change("covariance", **(arguments | {"means": Means(0.0, 0.0)}))
    torch.testing.assert_close(other, -arguments["weight"] * arguments["logprobs"])


@pytest.mark.parametrize("name", GOLDEN["states"])
@pytest.mark.parametrize("estimator", ["exact", "own_logit", "squared", "released"])
def test_golden_changes(name, estimator):
    state = GOLDEN["states"][name]
    one = torch.ones(1, dtype=torch.float64)
    found = entropy_change(
        estimator,
        weight=GOLDEN["weight"] * one,
        logprobs=state["logprob"] * one,
        entropy=state["entropy"] * one,
        mean_score=state["mean_score"] * one,
        advantages=GOLDEN["advantage"] * one,
        old_logprobs=(state["logprob"] + GOLDEN["old_shift"]) * one,
    )
    assert found.item() == pytest.approx(state[estimator], rel=1e-10, abs=1e-15)


def test_the_papers_five_way_example():
    logits = FIVE_WAY.log()
    top, rare = 0, 4
    for action, estimator, wanted in (
        (rare, "own_logit", 0.019),
        (rare, "exact", 0.189),
        (top, "own_logit", -0.125),
        (top, "exact", -0.166),
        (top, "squared", -0.046),
    ):
        assert change_of_action(logits, action, estimator=estimator) == pytest.approx(wanted, abs=6e-4)


def test_released_is_own_logit_without_its_probability():
    """H = 0.3, per unit advantage: the numbers of a published comparison of the two forms."""
    prob = torch.tensor([0.9, 0.1, 0.01, 1e-4], dtype=torch.float64)
    arguments = {"logprobs": prob.log(), "entropy": torch.full((4,), 0.3, dtype=torch.float64)}
    one = torch.ones(4, dtype=torch.float64)
    code = entropy_change("released", weight=one, advantages=one, old_logprobs=prob.log(), **arguments)
    own = entropy_change("own_logit", weight=one, **arguments)
    torch.testing.assert_close(code.abs(), torch.tensor([0.0195, 1.80, 4.26, 8.91]).double(), rtol=5e-3, atol=0)
    torch.testing.assert_close(own.abs(), torch.tensor([0.0175, 0.18, 0.043, 8.9e-4]).double(), rtol=1e-2, atol=0)
    torch.testing.assert_close(code * prob, own)


@settings(max_examples=100, deadline=None)
@given(logit_rows, st.integers(0, 11), st.floats(-2, 2))
def test_exact_is_the_slope_of_the_true_change(logits, action, weight):
    """ΔH(η) − η·exact is O(η²): the central quotient leaves O(η²), a forward one O(η)."""
    logits = np.array(logits)
    action %= len(logits)
    predicted = change_of_action(logits, action, weight)
    direction = weight * (np.eye(len(logits))[action] - np.exp(oracle.log_softmax(logits)))
    step = 1e-4
    up, down = (oracle.entropy(logits + sign * step * direction) for sign in (1, -1))
    assert (up - down) / (2 * step) == pytest.approx(predicted, abs=1e-6)


@pytest.mark.parametrize("action", range(5))
def test_the_remainder_is_of_second_order(action):
    logits = FIVE_WAY.log().numpy()
    direction = np.eye(5)[action] - FIVE_WAY.numpy()
    predicted = change_of_action(logits, action)
    remainders = [
        abs(oracle.entropy(logits + step * direction) - oracle.entropy(logits) - step * predicted)
        for step in (0.04, 0.02, 0.01)
    ]
    assert remainders[0] / remainders[1] == pytest.approx(4, rel=0.1)
    assert remainders[1] / remainders[2] == pytest.approx(4, rel=0.1)


@settings(max_examples=100, deadline=None)
@given(logit_rows)
def test_exact_has_mean_zero_under_the_policy_and_s_bar_is_not_negative(logits):
    """A constant added to w changes nothing in expectation; no other estimator has this."""
    logits_V = torch.tensor(logits, dtype=torch.float64)
    actions = torch.arange(len(logits))
    stats = stats_from_logits(logits_V.expand(len(logits), -1), actions)
    change = entropy_change(
        "exact",
        weight=torch.ones(len(logits), dtype=torch.float64),
        logprobs=stats.logprobs_N,
        entropy=stats.entropy_N,
        mean_score=stats.mean_score_N,
    )
    assert (stats.logprobs_N.exp() * change).sum().item() == pytest.approx(0, abs=1e-12)
    assert stats.mean_score_N.min().item() >= 0
    assert score(stats.logprobs_N, stats.entropy_N).sum().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATOR_NEEDS)
def test_needs_are_what_is_asked_for(estimator):
    _, _, arguments = states()
    base = {"weight": arguments["weight"], "logprobs": arguments["logprobs"]}
    needed = {name: arguments[name] for name in ESTIMATOR_NEEDS[estimator]}
    change = entropy_change(estimator, **base, **needed)
    torch.testing.assert_close(change, entropy_change(estimator, **arguments), rtol=0, atol=0)
    for name in needed:
        fewer = {key: value for key, value in needed.items() if key != name}
        with pytest.raises(ValueError, match=f"'{estimator}' needs {name}"):
            entropy_change(estimator, **base, **fewer)


def test_influence_is_the_coefficient_times_the_slope():
    weight, slope = torch.tensor([2.0, -0.5, 0.0]), torch.tensor([0.25, 3.0, 7.0])
    change = entropy_change("influence", weight=weight, logprobs=torch.zeros(3), sensitivity=slope)
    assert change.tolist() == [0.5, -1.5, 0.0]


def test_an_unknown_estimator_is_named():
    with pytest.raises(ValueError, match="'omega' is no estimator; choose one of exact, own_logit"):
        entropy_change("omega", weight=torch.ones(1), logprobs=torch.zeros(1))


@pytest.mark.parametrize("estimator", ESTIMATOR_NEEDS)
def test_result_is_detached_and_of_any_shape(estimator):
    _, _, arguments = states()
    grid = {
        name: value if name == "means" else value.reshape(4, 3, 5).clone().requires_grad_()
        for name, value in arguments.items()
    }
    change = entropy_change(estimator, **grid)
    assert not change.requires_grad
    torch.testing.assert_close(change.flatten(), entropy_change(estimator, **arguments), rtol=0, atol=0)


def test_a_nearly_certain_token_keeps_its_digits_in_float32():
    logprobs = torch.tensor([-1e-7])
    change = entropy_change("own_logit", weight=torch.ones(1), logprobs=logprobs, entropy=torch.tensor([2e-6]))
    torch.testing.assert_close(change, torch.tensor([-1e-7 * (2e-6 - 1e-7)]), rtol=1e-5, atol=0)


# --- clip ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dual_clip", [None, 3.0])
def test_clip_indicator_is_where_the_surrogate_has_gradient(dual_clip):
    log_ratio = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64).repeat(3).requires_grad_()
    advantages = torch.tensor([1.3, -0.7, 0.0], dtype=torch.float64).repeat_interleave(61)
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - 0.2, 1 + 0.28) * advantages)
    if dual_clip is not None:
        surrogate = torch.where(advantages < 0, torch.maximum(surrogate, dual_clip * advantages), surrogate)
    (grad,) = torch.autograd.grad(surrogate.sum(), log_ratio)
    passes = clip_indicator(ratio.detach(), advantages, 0.2, 0.28, dual_clip)
    assert passes.dtype == torch.bool
    torch.testing.assert_close(grad, passes * ratio.detach() * advantages)


def test_clip_bounds_per_token_and_switched_off():
    ratio = torch.tensor([1.5, 1.5, 0.1, 0.1, 50.0])
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    low = torch.tensor([0.2, 0.2, 0.2, torch.inf, 0.2])
    high = torch.tensor([0.2, 0.5, 0.2, 0.2, torch.inf])
    assert clip_indicator(ratio, advantages, low, high).tolist() == [False, True, False, True, True]


# --- quadrants -------------------------------------------------------------------------------------------------------


def test_quadrants_of_the_five_way_example():
    logits = FIVE_WAY.log()[None].expand(5, -1)
    stats = stats_from_logits(logits, torch.arange(5))
    for sign, likely, unlikely in ((1.0, 1, 2), (-1.0, 4, 3)):
        found = quadrant(torch.full((5,), sign), stats.logprobs_N, stats.entropy_N)
        assert found.tolist() == [likely] + [unlikely] * 4
        assert found.dtype == torch.int64
    assert quadrant(torch.zeros(5), stats.logprobs_N, stats.entropy_N).tolist() == [0] * 5
    certain = torch.zeros(1)
    for boundary in ("kappa", "exact"):
        assert quadrant(torch.ones(1), certain, certain, certain, boundary=boundary).item() == 1


def test_boundaries_follow_their_estimators_and_differ_between_zero_and_s_bar():
    _, _, arguments = states(count=4000, vocabulary=30, scale=1.0)
    arguments["weight"] = arguments["advantages"]
    given = [arguments[name] for name in ("advantages", "logprobs", "entropy", "mean_score")]
    falls = {}
    for boundary, estimator in (("kappa", "own_logit"), ("exact", "exact")):
        found = quadrant(*given, boundary=boundary)
        falls[boundary] = (found == 1) | (found == 3)
        assert torch.equal(falls[boundary], entropy_change(estimator, **arguments) < 0)
    value = score(arguments["logprobs"], arguments["entropy"])
    between = (value >= 0) & (value < arguments["mean_score"])
    assert torch.equal(falls["kappa"] != falls["exact"], between)
    assert between.any()


def test_the_exact_boundary_needs_s_bar():
    with pytest.raises(ValueError, match="needs mean_score"):
        quadrant(torch.ones(1), torch.zeros(1), torch.zeros(1), boundary="exact")


# --- expected updates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("natural", [False, True])
def test_covariance_population_equals_the_oracle(natural):
    logits, _, _ = states(count=20)
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = covariance_population(logits.log_softmax(-1), weight, natural=natural)
    rows = zip(logits.numpy(), weight.numpy(), strict=True)
    wanted = [oracle.expected_change(*row, natural=natural) for row in rows]
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)


def test_covariance_population_is_the_policy_mean_of_exact():
    logits, _, _ = states(count=1)
    weight = torch.linspace(-1, 2, 9, dtype=torch.float64)
    prob = logits[0].softmax(-1)
    mean = sum(prob[a].item() * change_of_action(logits[0], a, weight[a].item()) for a in range(9))
    assert covariance_population(logits.log_softmax(-1), weight[None]).item() == pytest.approx(mean, rel=1e-10)
