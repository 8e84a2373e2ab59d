from __future__ import annotations

import pytest
import torch

from steerctl.intervention._verdicts import Verdicts, of_rows, remembered, standardised, totals
from tests.batches import make_case
from tests.intervention.populations import groups_of


def test_rows_are_numbered_through_the_groups():
    verdicts = Verdicts.of(groups_of([[1, 0, 0.5], [0, 1, 1]]))
    assert verdicts.values_R.tolist() == [1, 0, 0.5, 0, 1, 1]
    assert verdicts.group_size == 3
    assert remembered(verdicts, "x") is verdicts
    with pytest.raises(RuntimeError, match="x has not seen"):
        remembered(None, "x")


def test_of_rows_follows_the_row_and_the_mask():
    case = make_case(rows=3)
    values = of_rows(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), case.batch)
    mask = case.batch.loss_mask_BT
    assert values.dtype == torch.float32
    assert torch.equal(values, mask * torch.tensor([[1.0], [2.0], [3.0]]))


def test_totals_and_z_scores_by_key():
    keys = torch.tensor([7, 3, 7, 3, 9])
    values = torch.tensor([1.0, 2.0, 3.0, 6.0, 5.0], dtype=torch.float64)
    assert totals(values, keys).tolist() == [4, 8, 4, 8, 5]
    assert standardised(values, keys, 0.0 + 1e-12, 0).tolist() == pytest.approx([-1, -1, 1, 1, 0])
    assert standardised(values, keys, 1e-12, 1).tolist() == pytest.approx(
        [-(0.5**0.5), -(0.5**0.5), 0.5**0.5, 0.5**0.5, 0]
    )
