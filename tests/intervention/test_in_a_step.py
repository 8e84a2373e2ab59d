"""Kinds in the real loop on a table of logits: each acts, stays finite, and knows nothing of micro-batches."""

from __future__ import annotations

import pytest
import torch

from steerctl.intervention.adaptive_entropy import AdaptiveEntropy
from steerctl.intervention.archer import Archer
from steerctl.intervention.ce_gppo import CeGppo
from steerctl.intervention.clip_b import ClipB
from steerctl.intervention.clip_cov import ClipCov
from steerctl.intervention.clip_higher import ClipHigher
from steerctl.intervention.clip_v import ClipV
from steerctl.intervention.dcpo import Dcpo
from steerctl.intervention.entropy_advantage import EntropyAdvantage
from steerctl.intervention.entropy_bonus import EntropyBonus
from steerctl.intervention.gaussian_covariance import GaussianCovariance
from steerctl.intervention.grpo_s import GrpoS
from steerctl.intervention.gtpo import Gtpo
from steerctl.intervention.hicra import Hicra
from steerctl.intervention.kl_cov import KlCov
from steerctl.intervention.kl_reward import KlReward
from steerctl.intervention.opefo import Opefo
from steerctl.intervention.outcome_exploration import OutcomeExploration
from steerctl.intervention.probability_clip import ProbabilityClip
from steerctl.intervention.quadrant import Quadrant
from steerctl.intervention.steer import Steer
from steerctl.intervention.stochastic_rescue import StochasticRescue
from steerctl.intervention.top_entropy import TopEntropy
from steerctl.intervention.unlikeliness import Unlikeliness
from steerctl.intervention.w_reinforce import WReinforce
from steerctl.run.step import run_step
from tests.run.test_step import parts

KINDS = [
    AdaptiveEntropy(entropy_target=5.0, coef_start=0.1, coef_max=1.0),
    Archer(knowledge_kl_coef=1.0),
    ClipCov(clip_cov_ratio=0.1, clip_cov_lb=0.01),
    ClipHigher(clip_ratio_high=0.0, clip_ratio_low=0.0),
    Dcpo(),
    Dcpo(dynamic_clip=False),
    EntropyAdvantage(),
    EntropyBonus(entropy_coef=0.1),
    GrpoS(),
    Gtpo(),
    KlCov(kl_cov_ratio=0.1),
    KlCov(kl_cov_ratio=0.1, remove_clip=False),
    KlReward(kl_coef=0.5),
    Quadrant(factor_1=0.5),
    Quadrant(factor_4=2.0, boundary="batch_quantile"),
    Steer(),
    TopEntropy(),
    Unlikeliness(),
    WReinforce(),
    WReinforce(positive_coef=0.0, denominator="selected"),
    CeGppo(),
    ClipB(mu=0.5),
    ClipV(mu=0.3, max_fraction=0.1),
    GaussianCovariance(),
    Hicra(gram_min=1, gram_max=2, min_documents=1, top_fraction=1.0),
    Opefo(),
    OutcomeExploration(),
    OutcomeExploration(bonus="batch"),
    ProbabilityClip(schedule="constant", slope=0.0, intercept=0.0),
    ProbabilityClip(schedule="decrease_increase_decrease", total_steps=2, slope=0.0, intercept=0.0),
    StochasticRescue(rule="margin", margin=0.99, rescue_probability=1.0),
]
"""Settings under which each acts on so small a step."""


def fresh(kind):
    return type(kind)(**kind.model_dump())


def trained(interventions, *, steps=2, lr=10.0, **changes):
    """The policy's table after some steps, with a learning rate at which ratios leave the clip."""
    p = parts(interventions=[fresh(kind) for kind in interventions], **changes)
    p.policy.lr = lr
    cursor = 0
    for step in range(steps):
        outcome = run_step(p, step, cursor)
        cursor = outcome.collected.cursor
        assert all(torch.isfinite(view.dials.advantages_BT).all() for view in outcome.views)
    return p.policy.table.detach()


def name(kind):
    changed = ",".join(f"{key}={value}" for key, value in kind.model_dump(exclude_defaults=True).items())
    return f"{kind.kind}({changed})"


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_it_acts_and_stays_finite(kind):
    table = trained([kind])
    assert torch.isfinite(table).all()
    assert not torch.equal(table, trained([]))


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_micro_batches_do_not_matter(kind):
    small, large = (trained([kind], micro_batch_tokens=tokens) for tokens in (8, 10_000))
    torch.testing.assert_close(small, large, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_it_is_inert_on_policy_exactly_if_it_says_so(kind):
    same = torch.equal(trained([kind], updates_per_step=1), trained([], updates_per_step=1))
    assert same == kind.inert_when_on_policy


def test_a_controller_with_memory_goes_on_where_it_was():
    """Steps 0 to 3 in one go, and in two halves with the state carried over as JSON values."""
    kinds = [
        AdaptiveEntropy(entropy_target=5.0, delta=0.05, coef_max=1.0),
        Dcpo(),
        OutcomeExploration(),
        Hicra(gram_min=1, gram_max=2, min_documents=1),
        ProbabilityClip(schedule="oscillatory_decay", total_steps=3),
    ]

    def run(halves):
        p = parts(interventions=[fresh(kind) for kind in kinds])
        step = cursor = 0
        for half in halves:
            for _ in range(half):
                outcome = run_step(p, step, cursor)
                step, cursor = step + 1, outcome.collected.cursor
            states = [dict(each.state_dict()) for each in p.interventions]
            renewed = parts(interventions=[fresh(kind) for kind in kinds], policy=p.policy, generator=p.generator)
            for each, state in zip(renewed.interventions, states, strict=True):
                each.load_state_dict(state)
            p = renewed
        return p.policy.table.detach()

    assert torch.equal(run([4]), run([2, 2]))
    assert not torch.equal(run([4]), run([3]))
