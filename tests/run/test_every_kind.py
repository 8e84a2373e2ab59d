"""Every plug-in in a real run: one step on the embedded policy, in one process."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from steerctl.engine.environment import prepare_single
from steerctl.loss.ppo_clip import PpoClip
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.plugins import registry
from steerctl.run.build import build
from steerctl.run.record import step_metrics
from steerctl.run.reporter import Everyone
from steerctl.run.step import run_step
from steerctl.spec.load import load_spec
from steerctl.types import Dials
from tests.run.command import write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

REQUIRED = {"pass_at_k": {"k": 2}, "rlrt": {"hint": "{gold}"}}
"""Settings a kind cannot do without, here."""
SEEDS = {"grpo_passk": 2}
"""With the usual one no group has exactly one right answer, without which the kind gives no credit."""


def one_step(tmp_path, **changes):
    spec = load_spec(write_spec(tmp_path, **changes)).spec
    prepare_single()
    session = build(spec, Everyone())
    try:
        session.parts.generator.load_weights(session.policy.weights(), 0)
        outcome = run_step(session.parts, 0, 0)
        return step_metrics(outcome, session.parts.surrogate, session.policy), outcome
    finally:
        session.close()


def assert_finite(found):
    assert set(found) <= set(catalogue())
    assert all(math.isfinite(value) for value in found.values()), found
    assert found["optim/grad_norm/mean"] > 0


def touched(outcome):
    """The dials that some micro-batch had away from neutral."""
    names = [field.name for field in fields(Dials)]
    pairs = [(view.dials, PpoClip().neutral_dials(view.batch)) for view in outcome.views]
    moved = {name for name in names for a, b in pairs if not torch.equal(getattr(a, name), getattr(b, name))}
    return {name.removesuffix("_BT") for name in moved}


@pytest.mark.parametrize("kind", sorted(registry("steerctl.advantage")))
def test_advantage(kind, tmp_path):
    settings = {"kind": kind, **REQUIRED.get(kind, {})}
    found, _ = one_step(tmp_path, seed=SEEDS.get(kind, 1), algorithm={"advantage": settings})
    assert_finite(found)


@pytest.mark.parametrize("kind", sorted(registry("steerctl.loss")))
def test_loss(kind, tmp_path):
    found, _ = one_step(tmp_path, algorithm={"loss": {"kind": kind}})
    assert_finite(found)


@pytest.mark.parametrize("reduction", ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant_norm"])
def test_reduction(reduction, tmp_path):
    found, _ = one_step(tmp_path, algorithm={"reduction": reduction})
    assert_finite(found)


@pytest.mark.parametrize("kind", sorted(registry("steerctl.intervention")))
def test_intervention(kind, tmp_path):
    settings = {"kind": kind, **REQUIRED.get(kind, {})}
    found, outcome = one_step(tmp_path, algorithm={"interventions": [settings]})
    assert_finite(found)
    turns = registry("steerctl.intervention")[kind](**settings).turns
    assert touched(outcome) <= turns, "`turns` names every dial that the kind touches"
    before, after = ([group.rewards_G for group in groups] for groups in (outcome.collected.groups, outcome.groups))
    assert "rewards" in turns or before == after


def test_dynamic_sampling_trains_only_on_groups_with_signal(tmp_path):
    small = {"problems_per_step": 8, "group_size": 4, "max_tokens": 24, "dynamic_sampling": {"max_rounds": 10}}
    found, outcome = one_step(tmp_path, rollout=small)
    assert_finite(found)
    assert found["groups/no_signal/fraction"] == 0
    assert found["groups/replaced/count"] > 0
    assert outcome.collected.asked > 8


def test_the_reference_is_the_policy_before_training(tmp_path):
    found, outcome = one_step(tmp_path, algorithm={"interventions": [{"kind": "kl", "kl_coef": 0.1}]})
    assert_finite(found)
    first = outcome.views[0]
    gap = (first.batch.ref_logprobs_BT - first.batch.old_stats.logprobs_BT).abs().max()
    assert float(gap) == 0
    assert found["reference/kl/mean"] > 0  # the second update has moved away


@pytest.mark.parametrize("mode", ["exact", "delayed"])
def test_entropy_projection_raises_entropy_towards_its_target(mode, tmp_path):
    small = {"problems_per_step": 8, "group_size": 4, "max_tokens": 24}
    high = {"kind": "entropy_projection", "entropy_target": 3.0, "gain": 1.0, "mode": mode}
    plain, _ = one_step(tmp_path, rollout=small)
    found, outcome = one_step(tmp_path, rollout=small, algorithm={"interventions": [high]})
    assert_finite(found)
    assert found["entropy_change/measured/mean"] > plain["entropy_change/measured/mean"] + 1e-3
    assert found["penalty/mean"] < 0
    assert all(view.dials.weight_BT.eq(1).all() for view in outcome.views)


@pytest.mark.parametrize("kind", ["steer", "opefo", "entropy_target", "clip_cov", "kl_cov", "gaussian_covariance"])
def test_every_selector_takes_influence(kind, tmp_path):
    share = {
        "clip_cov": {"clip_cov_ratio": 0.1, "clip_cov_lb": 0.0, "clip_cov_ub": 1e9},
        "kl_cov": {"kl_cov_ratio": 0.1},
    }
    there = {"kind": kind, "estimator": "influence", **share.get(kind, {})}
    found, outcome = one_step(tmp_path, algorithm={"interventions": [there]})
    assert_finite(found)
    turned = [view.dials for view in outcome.views]
    assert any(
        (dials.weight_BT != 1).any() or (dials.penalty_BT != 0).any() or dials.clip_high_BT.isinf().any()
        for dials in turned
    )


def test_branches_are_trained_after_what_they_were_given(tmp_path):
    branching = {"roots": 2, "branches": 1, "min_characters": 1}
    small = {"problems_per_step": 8, "group_size": 4, "max_tokens": 24, "branching": branching}
    found, outcome = one_step(tmp_path, rollout=small)
    assert_finite(found)
    given = [rollout.given_ids for group in outcome.collected.groups for rollout in group.rollouts]
    assert [bool(ids) for ids in given[:2]] == [False, False]
    assert sum(map(bool, given)) > 8
    assert found["mismatch/logprob_abs/max"] < 1e-3  # the sampler and the trainer agree on what came before


def test_the_teacher_is_the_policy_with_the_answer_in_its_prompt(tmp_path):
    found, outcome = one_step(tmp_path, algorithm={"interventions": [{"kind": "rlrt", "hint": "{gold}"}]})
    assert_finite(found)
    first = outcome.views[0].batch
    gap_BT = (first.teacher_logprobs_BT - first.old_stats.logprobs_BT)[first.loss_mask_BT]
    assert float(gap_BT.abs().max()) > 1e-3
    assert found["advantage/turned/fraction"] > 0
