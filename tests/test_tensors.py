import torch

from steerctl.tensors import masked_mean, masked_sum, pad_rows, scatter_rows


def test_masked_sum_and_mean_ignore_what_is_outside_even_nan():
    values = torch.tensor([1.0, float("nan"), 3.0])
    mask = torch.tensor([True, False, True])
    assert masked_sum(values, mask) == 4
    assert masked_mean(values, mask) == 2
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)) == 0


def test_masked_sum_has_no_gradient_outside_the_mask():
    values = torch.tensor([1.0, float("inf")], requires_grad=True)
    masked_sum(values, torch.tensor([True, False])).backward()
    assert values.grad.tolist() == [1, 0]


def test_scatter_rows_places_rows_in_row_major_order_and_passes_gradients():
    mask = torch.tensor([[False, True], [True, False]])
    rows = torch.tensor([5.0, 7.0], requires_grad=True)
    out = scatter_rows(rows, mask)
    assert out.tolist() == [[0, 5], [7, 0]]
    (out * torch.tensor([[9.0, 2.0], [3.0, 9.0]])).sum().backward()
    assert rows.grad.tolist() == [2, 3]


def test_scatter_of_nothing_keeps_the_graph():
    rows = torch.zeros(0, requires_grad=True)
    out = scatter_rows(rows, torch.zeros(1, 2, dtype=torch.bool))
    assert out.tolist() == [[0, 0]]
    assert out.requires_grad


def test_pad_rows():
    out = pad_rows([torch.tensor([1, 2]), torch.tensor([3])], 3, -1)
    assert out.tolist() == [[1, 2, -1], [3, -1, -1]]
    assert out.dtype == torch.int64
