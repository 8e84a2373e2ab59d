"""Every plug-in in a real run: one step on the embedded policy, in one process."""

from __future__ import annotations

import math

import pytest

from steerctl.engine.environment import prepare_single
from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.plugins import registry
from steerctl.run.build import build
from steerctl.run.record import step_metrics
from steerctl.run.reporter import Everyone
from steerctl.run.step import run_step
from steerctl.spec.load import load_spec
from tests.run.command import write_spec

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

REQUIRED = {}
"""Settings a kind cannot do without."""


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


@pytest.mark.parametrize("kind", sorted(registry("steerctl.advantage")))
def test_advantage(kind, tmp_path):
    found, _ = one_step(tmp_path, algorithm={"advantage": {"kind": kind}})
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
    found, _ = one_step(tmp_path, algorithm={"interventions": [{"kind": kind, **REQUIRED.get(kind, {})}]})
    assert_finite(found)


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
