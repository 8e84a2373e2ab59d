from __future__ import annotations

import pytest
import torch

from steerctl.intervention._weights import binary, exponential, linear

M = torch.tensor([0.0, 1.0, 2.0, 4.0])


def test_exponential_golden():
    # the largest gets 1/16, a half of it 1/4, a quarter 1/2
    assert exponential(M, 1 / 16, 1.0, 0.0)(M).tolist() == pytest.approx([1.0, 0.5, 0.25, 1 / 16])


def test_exponential_floor_takes_the_place_of_the_largest():
    assert exponential(M, 1 / 16, 1.0, 8.0)(M).tolist() == pytest.approx([1.0, 2**-0.5, 0.5, 0.25])


def test_exponential_of_signed_measures_is_scaled_by_the_largest_size():
    signed = torch.tensor([-2.0, 0.0, 1.0])
    assert exponential(signed, 0.25, 3.0, 0.0)(signed).tolist() == pytest.approx([3.0, 1.0, 0.5])


@pytest.mark.parametrize("smallest", [0.0, 1e-45, 1e-38])
def test_exponential_of_almost_nothing_is_finite(smallest):
    tiny = torch.tensor([0.0, smallest])
    weights = exponential(tiny, 0.5, 1.0, 0.0)(tiny)
    assert weights[0] == 1
    assert 0.5 <= weights[1] <= 1


def test_linear_golden():
    weigh = linear(M, 0.8, 1.2)
    assert weigh(M).tolist() == pytest.approx([1.2, 1.1, 1.0, 0.8])
    assert weigh(torch.tensor([-5.0, 9.0])).tolist() == pytest.approx([1.2, 0.8])
    assert linear(torch.ones(3), 0.8, 1.2)(M).tolist() == pytest.approx([1.0] * 4)


def test_binary_golden():
    assert binary(M, 0.5, 1.0, 0.26)(M).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert binary(M, 0.5, 1.0, 0.0)(M).tolist() == [1.0] * 4
    assert binary(M, 0.5, 1.0, 1.0)(M).tolist() == [1.0, 0.5, 0.5, 0.5]
    assert binary(torch.ones(4), 0.5, 1.0, 0.25)(M).tolist() == [1.0, 0.5, 0.5, 0.5]


def test_binary_takes_more_tokens_than_torch_s_quantile_can():
    many = torch.zeros(2**24 + 1)
    many[7] = 1.0
    assert binary(many, 0.5, 1.0, 1e-8)(many[:8]).tolist() == [1.0] * 7 + [0.5]
