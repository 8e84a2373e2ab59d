"""What would make a comparison unfair is said before anything runs."""

from __future__ import annotations

import pytest

from steerctl.sweep.fairness import check_fairness, clip_bounds
from steerctl.sweep.load import load_sweep
from steerctl.sweep.plan import variants_of
from tests.sweep.sweeps import STEER, VARIANTS, write_sweep

HIGHER = {"algorithm.loss.clip_ratio_high": 0.28}
HIGHER_KIND = {"algorithm.interventions": [{"kind": "clip_higher"}]}
BOTH = {"algorithm.interventions": [{"kind": "clip_higher"}, {"kind": "steer"}]}


def found(folder, variants, base=None, **changes):
    path = write_sweep(folder, base, axes=[{"variants": variants}], **{"seeds": [1, 2, 3], **changes})
    sweep = load_sweep(path)
    return [(each.level, each.path, each.text) for each in check_fairness(sweep, variants_of(sweep))]


def test_a_fair_comparison_says_nothing(tmp_path):
    assert found(tmp_path, [*VARIANTS, {"name": "clip", "set": HIGHER}]) == []


@pytest.mark.parametrize("secret", [{**STEER, **HIGHER}, BOTH])
def test_a_clip_bound_that_changes_along_with_the_method(tmp_path, secret):
    ((level, path, text),) = found(tmp_path, [{"name": "grpo"}, {"name": "steer", "set": secret}])
    assert (level, path) == ("warning", "steer")
    assert "clip_ratio_high 0.28 against 0.2" in text
    assert "may be the bound's doing" in text


@pytest.mark.parametrize("alone", [HIGHER, HIGHER_KIND])
def test_with_the_bound_alone_beside_it_the_comparison_is_named(tmp_path, alone):
    variants = [{"name": "grpo"}, {"name": "clip", "set": alone}, {"name": "steer", "set": {**STEER, **HIGHER}}]
    ((level, path, text),) = found(tmp_path, variants)
    assert (level, path) == ("note", "steer")
    assert "clip has this bound alone" in text


def test_a_bound_that_comes_with_another_loss(tmp_path):
    texts = found(tmp_path, [{"name": "grpo"}, {"name": "gspo", "set": {"algorithm.loss.kind": "gspo"}}])
    assert any(
        "although no axis says so: algorithm.loss.clip_ratio_high 0.0004 against 0.2" in each[2] for each in texts
    )


def test_a_file_may_differ_only_where_it_says(tmp_path):
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nrollout: {temperature: 0.9}\noptim: {lr: 2e-3}\n")
    own = {"name": "own", "file": "own.yaml", "differs": ["optim.lr"]}
    texts = found(tmp_path, [{"name": "grpo"}, own])
    assert texts[0][:2] == ("error", "own")
    assert "rollout.temperature (0.9 against 1.0), which no axis says" in texts[0][2]
    assert not any("optim.lr (" in each[2] for each in texts)


def test_a_method_and_a_learning_rate_at_once(tmp_path):
    texts = found(tmp_path, [{"name": "grpo"}, {"name": "steer", "set": {**STEER, "optim.lr": 2e-3}}])
    assert texts[0][:2] == ("warning", "steer")
    assert "in its algorithm and in optim.lr" in texts[0][2]


def test_few_seeds_and_no_validation_are_said(tmp_path):
    texts = found(tmp_path, VARIANTS, base={"validate_every": 0}, seeds=[1])
    assert ("warning", "seeds", "1 per variant: no interval can be given") in texts
    assert any(level == "error" and "are wanted but not measured" in text for level, _, text in texts)
    texts = found(tmp_path, VARIANTS, base={"validate_every": 2})
    assert any(level == "error" and "the last step (3) has no validation" in text for level, _, text in texts)


def test_bounds_of_an_intervention_stand_over_the_loss_s(tmp_path):
    sweep = load_sweep(write_sweep(tmp_path, axes=[{"variants": [{"name": "a", "set": {**BOTH, **HIGHER}}]}]))
    bounds = clip_bounds(variants_of(sweep)[0].spec)
    assert bounds == {"clips": "token", "clip_ratio_low": 0.2, "clip_ratio_high": 0.28}


def test_a_metric_that_does_not_exist(tmp_path):
    said = "policy/entropie/mean is no metric; did you mean policy/entropy/mean? (docs/metrics.md)"
    contrast = {"says": "?", "variant": "steer", "metric": "policy/entropie/mean"}
    texts = found(tmp_path, VARIANTS, metrics=["policy/entropie/mean"], contrasts=[contrast])
    assert texts == [("error", "metrics", said), ("error", "contrasts.0.metric", said)]
