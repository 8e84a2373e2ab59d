from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import yaml

from steerctl.intervention.kl import Kl
from steerctl.intervention.top_entropy import TopEntropy
from tests.batches import cut, make_case
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
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *paper: .*?(?=\n\n)", TopEntropy.__doc__, re.DOTALL | re.MULTILINE).group())


def test_presets_stand_in_the_docstring():
    assert TopEntropy(**PRESETS["paper"]) == TopEntropy()
    found = {name: (TopEntropy(**p).scope, TopEntropy(**p).denominator) for name, p in PRESETS.items()}
    assert found == {
        "paper": ("update", "selected"),
        "released": ("micro_batch", "selected"),
        "trl": ("update", "all"),
        "ms_swift": ("micro_batch", "all"),
    }


def test_golden_two_of_ten():
    case = make_case(rows=1, length=10)
    entropy = torch.tensor([[0.1, 0.2, 0.3, 2.0, 0.1, 0.0, 0.0, 1.0, 0.5, 0.4]])
    mask = torch.ones(1, 10, dtype=torch.bool)
    case = replace(case, batch=replace(case.batch, loss_mask_BT=mask), stats=replace(case.stats, entropy_BT=entropy))
    assert turned(TopEntropy(), case).weight_BT[0].tolist() == [0, 0, 0, 5, 0, 0, 0, 5, 0, 0]
    assert turned(TopEntropy(denominator="all"), case).weight_BT[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.2, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("source", ["old", "live"])
def test_oracle(fraction, source):
    case = make_case(seed=1, drift=1.0)
    mask = case.batch.loss_mask_BT
    entropy = (case.stats if source == "live" else case.batch.old_stats).entropy_BT[mask].tolist()
    kept = torch.tensor(oracle.top_mask(entropy, fraction))
    for denominator, scale in (("all", 1.0), ("selected", len(kept) / max(int(kept.sum()), 1))):
        method = TopEntropy(fraction=fraction, denominator=denominator, entropy_source=source)
        torch.testing.assert_close(turned(method, case).weight_BT[mask], kept * scale)


def test_selected_is_the_mean_over_the_kept_tokens_and_all_is_smaller_by_the_fraction():
    case = make_case(seed=2, drift=0.3)
    selected, everything = turned(TopEntropy(), case), turned(TopEntropy(denominator="all"), case)
    kept = (everything.weight_BT == 1) & case.batch.loss_mask_BT
    shrunk = replace(case, batch=replace(case.batch, loss_mask_BT=kept, num_tokens=int(kept.sum())))
    torch.testing.assert_close(loss_of(selected, case), loss_of(case.view().dials, shrunk))
    torch.testing.assert_close(gradient_of(selected, case), gradient_of(case.view().dials, shrunk))
    share = int(kept.sum()) / case.batch.num_tokens
    torch.testing.assert_close(gradient_of(everything, case), share * gradient_of(selected, case))


def test_ties_never_keep_more_than_the_fraction():
    case = make_case(seed=3, drift=0.0, sharpness=0.0)
    weight = turned(TopEntropy(denominator="all"), case).weight_BT[case.batch.loss_mask_BT]
    assert int(weight.sum()) == -(-case.batch.num_tokens // 5)
    assert (weight[: int(weight.sum())] == 1).all()


def test_only_the_weight_is_turned_and_penalties_stay():
    case = make_case(seed=4)
    dials = turned(TopEntropy(), case)
    assert_turns_only(dials, case, "weight_BT")
    assert_detached(dials)
    held = Kl(kl_coef=0.1).apply(case.view().dials, case.batch, case.stats)
    assert torch.equal(turned(TopEntropy(), case, held).penalty_BT, held.penalty_BT)


def test_fraction_one_is_the_baseline_bit_for_bit():
    for denominator in ("all", "selected"):
        assert_baseline(TopEntropy(fraction=1.0, denominator=denominator), make_case(seed=5, drift=0.5))


@pytest.mark.parametrize("scope", ["update", "step"])
@pytest.mark.parametrize("denominator", ["all", "selected"])
def test_wide_scopes_know_neither_micro_batches_nor_ranks(scope, denominator):
    method = TopEntropy(scope=scope, denominator=denominator)
    assert method.population_scope == scope
    assert_same_in_every_cut(lambda: method, make_case(seed=6, rows=8))
    assert_same_in_every_cut(lambda: method, make_case(seed=6, rows=8, sharpness=0.0, drift=0.0))


def test_micro_batch_scope_keeps_its_share_of_each():
    method = TopEntropy(scope="micro_batch", denominator="all")
    for part in cut(make_case(seed=7), [3, 3]):
        weight = turned(method, part).weight_BT[part.batch.loss_mask_BT]
        assert int(weight.sum()) == -(-len(weight) // 5)


def test_edges_stay_finite():
    for scope in ("micro_batch", "update"):
        assert_finite_at_the_edges(lambda scope=scope: TopEntropy(scope=scope))
