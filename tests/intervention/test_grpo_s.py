from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from steerctl.advantage.grpo import Grpo
from steerctl.intervention.grpo_s import GrpoS
from tests.batches import make_case
from tests.intervention.populations import (
    assert_detached,
    assert_finite_at_the_edges,
    assert_same_in_every_cut,
    assert_turns_only,
    turned,
)
from tests.intervention.test_gtpo import advantages, seeing, with_entropies
from tests.oracles import intervention_a as oracle

PRESETS = yaml.safe_load(re.search(r"^ *grpo_s: .*?(?=\n\n)", GrpoS.__doc__, re.DOTALL | re.MULTILINE).group())


def by_row(method, values, case):
    rows = advantages(turned(seeing(method, values), case), case)
    assert all(row == [row[0]] * len(row) for row in rows)
    return [row[0] for row in rows]


def test_presets_stand_in_the_docstring():
    assert GrpoS(**PRESETS["grpo_s"]) == GrpoS()
    assert GrpoS(**PRESETS["port"]).entropy_min == 0.2


def test_golden_two_right():
    # Ĥ = 1, 3: r̃ = 1 + .1·2·(1/4, 3/4) = 1.05, 1.15; two values have z-scores ∓ √½.
    case = with_entropies([[0.5, 1.5], [3.0]])
    assert by_row(GrpoS(), [[1, 1]], case) == pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_oracle(seed):
    rng = np.random.default_rng(seed)
    values = [[1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [1] * 5, [0] * 5]
    rows = [[float(h) for h in rng.exponential(size=int(rng.integers(1, 9)))] for _ in range(20)]
    case = with_entropies(rows, prompts=[int(p) for p in rng.integers(0, 4, 20)])
    method = GrpoS(beta_1=0.7, beta_2=0.4, entropy_min=0.5, entropy_max=1.5)
    means = [min(max(float(np.mean(row)), 0.5), 1.5) for row in rows]
    expected = []
    for index, group in enumerate(values):
        expected += oracle.grpo_s(means[5 * index : 5 * index + 5], [v > 0.5 for v in group], 0.7, 0.4)
    np.testing.assert_allclose(by_row(method, values, case), expected, rtol=1e-5, atol=1e-6)


def test_beta_2_zero_is_grpo():
    case, values = make_case(seed=1), [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    expected = Grpo()(torch.tensor(values), torch.ones(2, 3)).flatten()
    actual = torch.tensor(by_row(GrpoS(beta_2=0.0), values, case))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    alike = torch.tensor(by_row(GrpoS(beta_2=0.0), [[1.0] * 3, [0.0] * 3], case))
    assert (alike == 0).all()


def test_entropy_alone_decides_where_all_are_right():
    case = with_entropies([[1.0], [1.01], [1.02]])
    assert by_row(GrpoS(), [[1, 1, 1]], case) == pytest.approx([-1, 0, 1], abs=0.02)
    assert by_row(GrpoS(), [[0, 0, 0]], case) == pytest.approx([-1, 0, 1], abs=0.02)


def test_only_the_advantage_is_turned_and_entropy_is_detached():
    case = make_case(seed=1, drift=0.5)
    dials = turned(seeing(GrpoS(), [[1, 0, 1], [0, 1, 1]]), case)
    assert_turns_only(dials, case, "advantages_BT")
    assert_detached(dials)


def test_it_knows_neither_micro_batches_nor_ranks():
    method = seeing(GrpoS(), [[1, 0, 1, 0], [1, 1, 0, 1]])
    assert method.population_scope == "step"
    assert_same_in_every_cut(lambda: seeing(method, [[1, 0, 1, 0], [1, 1, 0, 1]]), make_case(seed=3, rows=8, drift=0.4))


def test_edges_stay_finite():
    for values in ([[1, 0, 1], [0, 1, 0]], [[1] * 3] * 2, [[0] * 3] * 2, [[1], [0], [1], [0], [1], [0]]):
        assert_finite_at_the_edges(lambda v=values: seeing(GrpoS(), v))


def test_what_it_refuses():
    with pytest.raises(ValidationError, match="entropy_max must not be below"):
        GrpoS(entropy_min=0.5, entropy_max=0.2)
    with pytest.raises(RuntimeError, match="grpo_s has not seen"):
        turned(GrpoS(), make_case())
