"""Interventions and losses that undo each other, or do nothing where they stand; and that declarations are true."""

from __future__ import annotations

from dataclasses import fields

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
from steerctl.intervention.kl import Kl
from steerctl.intervention.kl_cov import KlCov
from steerctl.intervention.kl_reward import KlReward
from steerctl.intervention.opefo import Opefo
from steerctl.intervention.probability_clip import ProbabilityClip
from steerctl.intervention.quadrant import Quadrant
from steerctl.intervention.steer import Steer
from steerctl.intervention.top_entropy import TopEntropy
from steerctl.intervention.unlikeliness import Unlikeliness
from steerctl.intervention.w_reinforce import WReinforce
from steerctl.loss.cispo import Cispo
from steerctl.loss.gspo import Gspo
from steerctl.loss.no_clip import NoClip
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reinforce import Reinforce
from steerctl.loss.sapo import Sapo
from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec
from tests.batches import make_case
from tests.intervention.populations import groups_of, turned

ONCE = "optim.updates_per_step=1"
KINDS = [
    AdaptiveEntropy(entropy_target=5.0, coef_start=0.1, coef_max=1.0),
    Archer(),
    CeGppo(),
    ClipB(mu=0.5),
    ClipCov(clip_cov_ratio=0.1, clip_cov_lb=0.0),
    ClipHigher(),
    ClipHigher(clip_ratio_low=0.3),
    ClipV(mu=0.5, max_fraction=0.1),
    Dcpo(),
    Dcpo(dynamic_clip=False),
    Dcpo(smooth_advantage=False),
    EntropyAdvantage(),
    EntropyBonus(),
    GaussianCovariance(),
    GrpoS(),
    Gtpo(),
    Kl(),
    KlCov(kl_cov_ratio=0.1),
    KlCov(kl_cov_ratio=0.1, remove_clip=False),
    KlReward(),
    Opefo(),
    ProbabilityClip(schedule="constant"),
    Quadrant(factor_1=0.5, factor_3=0.2),
    Steer(),
    Steer(use_clip_indicator=False),
    TopEntropy(),
    Unlikeliness(),
    WReinforce(),
    WReinforce(positive_coef=0.0, denominator="selected"),
]
LOSSES = [Cispo(), Gspo(), NoClip(), PpoClip(), Reinforce(), Sapo()]


def name_of(plug_in) -> str:
    settings = plug_in.model_dump(exclude_defaults=True)
    return "-".join([plug_in.kind, *(f"{key}={value}" for key, value in settings.items())])


@pytest.fixture
def found(write, tmp_path):
    """Findings of the valid experiment with overrides, as "level path: text"."""

    def look(*overrides: str) -> list[str]:
        spec = load_spec(write(), ["policy.model=owner/name", *overrides]).spec
        return [f"{each.level} {each.path}: {each.text}" for each in check_spec(spec, None)]

    return look


def chain(*items: str) -> str:
    return f"algorithm.interventions=[{', '.join('{kind: ' + item + '}' for item in items)}]"


def seen(kind, case, rewards_PG):
    """The intervention once it has seen groups of these verdicts and rewards, and their rewards after it."""
    fresh = type(kind)(**kind.model_dump())
    groups = groups_of([[1, 0, 1], [0, 1, 1]], rewards_PG=rewards_PG, logprobs=[[[-1.0], [-2.0], [-3.0]]] * 2)
    return fresh, [group.rewards_G for group in fresh.reshape(groups)]


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_what_an_intervention_says_it_turns_is_what_it_turns(kind) -> None:
    case, rewards_PG = make_case(seed=3), [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    fresh, after_PG = seen(kind, case, rewards_PG)
    before, after = case.view().dials, turned(fresh, case)
    names = [field.name.removesuffix("_BT") for field in fields(before)]
    changed = {name for name in names if not torch.equal(getattr(before, f"{name}_BT"), getattr(after, f"{name}_BT"))}
    if after_PG != [tuple(row) for row in rewards_PG]:
        changed.add("rewards")
    assert changed == kind.turns
    assert kind.replaces - {"rewards"} <= kind.turns


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_what_it_replaces_does_not_depend_on_what_stood_there(kind) -> None:
    """Other advantages, weights and bounds before it: what it sets is the same just where it says that it replaces."""
    case, rewards_PG = make_case(seed=3), [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    dials = case.view().dials
    others = type(dials)(**{field.name: getattr(dials, field.name) * 0.5 + 0.15 for field in fields(dials)})
    mask_BT = case.batch.loss_mask_BT
    plain, shifted = (turned(seen(kind, case, rewards_PG)[0], case, before) for before in (dials, others))
    same = {
        name
        for name in kind.turns - {"rewards"}
        if torch.equal(getattr(plain, f"{name}_BT")[mask_BT], getattr(shifted, f"{name}_BT")[mask_BT])
    }
    assert same == kind.replaces - {"rewards"}


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_rewards_count_where_it_says_that_it_reads_them(kind) -> None:
    case = make_case(seed=3)
    first, second = (
        turned(seen(kind, case, rewards_PG)[0], case)
        for rewards_PG in ([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], [[1.0, 0.0, 0.5], [0.0, 0.2, 1.0]])
    )
    assert torch.equal(first.advantages_BT, second.advantages_BT) == ("rewards" not in kind.reads)


@pytest.mark.parametrize("loss", LOSSES, ids=name_of)
def test_a_loss_reads_bounds_as_it_says(loss) -> None:
    """Gradients under wide and under narrow bounds: equal if none are read, zero somewhere if they cut off."""
    case = make_case(seed=5, drift=1.5)
    mask_BT = case.batch.loss_mask_BT

    def gradient(**bounds):
        surrogate_BT = type(loss)(**bounds)(type(loss)(**bounds).neutral_dials(case.batch), case.batch, case.stats)
        return torch.autograd.grad(surrogate_BT[mask_BT].sum(), case.logits_BTV, retain_graph=True)[0].abs().sum(-1)

    wide_BT = gradient(clip_ratio_low=0.99, clip_ratio_high=100.0)
    narrow_BT = gradient(clip_ratio_low=0.0, clip_ratio_high=0.0)
    assert torch.equal(wide_BT, narrow_BT) == (loss.clips == "none")
    cut_BT = (narrow_BT == 0) & (wide_BT > 0) & mask_BT
    assert bool(cut_BT.any()) == (loss.clips in ("token", "sequence"))
    if loss.clips == "sequence":
        cut_B = [set(cut_BT[row][mask_BT[row]].tolist()) for row in range(len(cut_BT))]
        assert all(len(each) <= 1 for each in cut_B), "a response is cut as a whole"


@pytest.mark.parametrize(
    ("overrides", "begins", "says"),
    [
        ([chain("steer", "gtpo")], "warning {}.1: gtpo sets the advantages anew after steer", "put gtpo before it"),
        (
            [chain("entropy_advantage", "kl_reward")],
            "warning {}.1: kl_reward",
            "entropy_advantage made of them is lost",
        ),
        ([chain("steer", "dcpo, dynamic_clip: false")], "warning {}.1: dcpo sets the advantages", "put dcpo before it"),
        ([chain("steer", "w_reinforce")], "warning {}.1: w_reinforce", "after steer"),
        ([chain("gtpo", "grpo_s")], "warning {}.1: grpo_s sets the advantages anew", "gtpo made of them is lost"),
        ([chain("clip_higher", "kl_cov")], "warning {}.1: kl_cov sets the clip bounds anew", "is lost"),
        ([chain("clip_cov", "clip_higher")], "warning {}.1: clip_higher sets the clip bounds", "after clip_cov"),
        ([chain("unlikeliness", "gtpo")], "warning {}.0: unlikeliness does nothing: gtpo", "verdicts"),
        ([chain("gtpo", "unlikeliness")], "warning {}.1: unlikeliness does nothing: gtpo", "verdicts"),
        ([chain("kl_reward", "unlikeliness")], "warning {}.0: unlikeliness changes rewards after kl_reward", "put"),
        ([chain("gtpo"), "reward.overlong={cache_tokens: 4}"], "warning reward.overlong: does nothing: gtpo", ""),
        ([chain("gtpo"), "algorithm.advantage.kind=rloo"], "warning algorithm.advantage: plays no part: gtpo", ""),
        ([chain("clip_higher"), "algorithm.loss.kind=no_clip"], "warning {}.0: clip_higher: does nothing", "no_clip"),
        ([chain("archer"), "algorithm.loss.kind=sapo"], "warning {}.0: archer: also sets clip bounds", "sapo"),
        (
            [chain("clip_higher"), "algorithm.loss.kind=gspo"],
            "warning {}.0: clip_higher: sets bounds for a token's",
            "",
        ),
        (
            [chain("steer"), "algorithm.loss.kind=reinforce"],
            "warning {}.0: steer: counts tokens past",
            "not clip at all",
        ),
        ([chain("steer"), "algorithm.loss.kind=cispo"], "warning {}.0: steer: counts tokens past", "their gradient"),
        ([chain("opefo"), "algorithm.loss.kind=gspo"], "warning {}.0: opefo: counts", "use_clip_indicator: false"),
        ([chain("clip_cov"), "algorithm.loss.kind=gspo"], "warning {}.0: clip_cov: counts", "take loss ppo_clip"),
        (
            [chain("top_entropy"), "algorithm.reduction=seq_mean_token_sum"],
            "warning {}.0: top_entropy: denominator",
            "",
        ),
        (
            [chain("steer, denominator: sum_weight"), "algorithm.reduction=seq_mean_token_sum"],
            "warning {}.0: steer",
            "",
        ),
        ([chain("archer"), "algorithm.reduction=seq_mean_token_sum"], "warning {}.0: archer: kl_denominator", ""),
        ([chain("dcpo, smooth_advantage: false"), ONCE], "warning {}.0: dcpo: dynamic_clip is never", "nothing at all"),
        ([chain("dcpo, smooth_advantage: false, dynamic_clip: false")], "warning {}.0: dcpo: does nothing", ""),
        ([chain("archer"), ONCE], "warning {}.0: archer: its clip bounds are never reached", "only its KL is left"),
        ([chain("kl_cov"), ONCE], "warning {}.0: kl_cov does nothing with optim.updates_per_step 1", ""),
        ([chain("kl, estimator: k1"), ONCE], "warning {}.0: kl: estimator k1 has no gradient on average", ""),
        ([chain("kl, kl_coef: 0.0")], "warning {}.0: kl: does nothing with kl_coef 0", ""),
        ([chain("kl_cov, kl_coef: 0.0")], "warning {}.0: kl_cov: holds no token", "only the clip"),
        ([chain("clip_cov, clip_cov_ratio: 0.0")], "warning {}.0: clip_cov: drops no token", ""),
        ([chain("quadrant")], "warning {}.0: quadrant: does nothing: all four factors are 1", ""),
        (
            [chain("quadrant, factor_1: 0.5, boundary_quantile: 0.2")],
            "warning {}.0: quadrant: boundary_quantile plays no part with boundary kappa",
            "",
        ),
        ([chain("steer, weight_max: 1.2")], "warning {}.0: steer: weight_max plays no part with mapping", ""),
        ([chain("steer, mapping: linear, floor: 0.02")], "warning {}.0: steer: floor plays no part", ""),
        ([chain("steer, weight_min: 1.0")], "warning {}.0: steer: does nothing with weight_min 1", ""),
        ([chain("top_entropy, fraction: 1.0")], "warning {}.0: top_entropy: keeps every token", ""),
        ([chain("top_entropy, fraction: 0.0")], "warning {}.0: top_entropy: trains no token", ""),
        ([chain("gaussian_covariance, bandwidth: .inf")], "warning {}.0: gaussian_covariance: does nothing", ""),
        ([chain("opefo, fixed_lambda: 0.0")], "warning {}.0: opefo: does nothing", ""),
        ([chain("adaptive_entropy, delta: 0.0")], "warning {}.0: adaptive_entropy: does nothing", ""),
        ([chain("entropy_bonus, entropy_coef: 0.0")], "warning {}.0: entropy_bonus: does nothing", ""),
        ([chain("entropy_advantage, alpha: 0.0")], "warning {}.0: entropy_advantage: does nothing", ""),
        ([chain("unlikeliness, beta: 0.0")], "warning {}.0: unlikeliness: does nothing with beta 0", ""),
        ([chain("gtpo, alpha_2: 0.0")], "warning {}.0: gtpo: trains nothing", ""),
        ([chain("gtpo, alpha_1: 2.0")], "warning {}.0: gtpo: alpha_1 plays no part", "it cancels"),
        ([chain("grpo_s, beta_2: 0.0")], "warning {}.0: grpo_s: is plain GRPO", ""),
        ([chain("kl_reward, kl_horizon: 5.0")], "warning {}.0: kl_reward: kl_horizon plays no part", ""),
        ([chain("w_reinforce, denominator: selected")], "warning {}.0: w_reinforce: denominator selected drops no", ""),
        ([chain("w_reinforce, positive_coef: 0.0, negative_coef: 0.0")], "warning {}.0: w_reinforce: trains", ""),
        ([chain("gtpo"), "rollout.group_size=1"], "warning {}.0: gtpo: compares the responses", ""),
        ([chain("dcpo"), "rollout.dynamic_sampling={}"], "warning {}.0: dcpo: would learn from groups", ""),
        (["algorithm.loss={kind: reinforce}"], "warning algorithm.loss: reinforce: is biased from the second", ""),
        (["algorithm.loss={kind: sapo}"], "warning algorithm.loss: sapo: is meant for", "seq_mean_token_mean"),
        (["algorithm.loss={kind: gspo, clip_ratio_low: 0.2}"], "warning algorithm.loss: gspo: clip_ratio_low fits", ""),
        (["algorithm.loss={kind: no_clip, clip_ratio_low: 0.3}"], "warning algorithm.loss.clip_ratio_low: is not", ""),
        (["algorithm.loss.dual_clip=3.0", ONCE], "warning algorithm.loss: ppo_clip: dual_clip is never reached", ""),
        (["algorithm.loss={kind: cispo}", ONCE], "note algorithm.loss: with optim.updates_per_step 1", "plain policy"),
    ],
)
def test_what_does_nothing_or_undoes_something(found, overrides: list[str], begins: str, says: str) -> None:
    hits = [line for line in found(*overrides) if line.startswith(begins.format("algorithm.interventions"))]
    assert len(hits) == 1, found(*overrides)
    assert says in hits[0]


@pytest.mark.parametrize(
    "overrides",
    [
        [chain(kind)]
        for kind in (
            *("adaptive_entropy", "archer", "clip_cov", "clip_higher", "dcpo", "entropy_advantage", "entropy_bonus"),
            *("gaussian_covariance", "grpo_s", "gtpo", "kl", "kl_cov", "kl_reward", "opefo", "quadrant, factor_1: 0.5"),
            *("steer", "top_entropy", "unlikeliness", "w_reinforce"),
        )
    ]
    + [
        [chain("clip_higher", "clip_cov")],
        [chain("clip_higher", "steer", "kl")],
        [chain("kl_reward", "clip_higher", "steer")],
        [chain("unlikeliness", "kl_reward", "top_entropy")],
        [chain("clip_higher", "gtpo", "entropy_bonus")],
        [chain("steer, use_clip_indicator: false"), "algorithm.loss.kind=no_clip"],
        [chain("steer"), "algorithm.loss.clip_ratio_high=.inf"],
        [chain("steer"), ONCE],
        [chain("kl_cov"), "algorithm.loss.kind=no_clip"],
        ["algorithm={loss: {kind: gspo}, reduction: seq_mean_token_mean}"],
        ["algorithm={loss: {kind: sapo}, reduction: seq_mean_token_mean}"],
        ["algorithm.loss={kind: reinforce}", ONCE],
    ],
    ids=" ".join,
)
def test_what_is_in_order_is_not_complained_about(found, overrides: list[str]) -> None:
    assert found(*overrides) == []


def test_a_resumed_run_is_not_warned_about_defaults(write, tmp_path) -> None:
    """Its spec.json has every default written out."""
    from steerctl.spec.load import dump_spec

    loaded = load_spec(write(), [chain("steer"), "algorithm.loss={kind: no_clip}", "policy.model=owner/name"])
    path = tmp_path / "spec.json"
    path.write_text(dump_spec(loaded.spec))
    assert check_spec(load_spec(path).spec, None) == check_spec(loaded.spec, None)
