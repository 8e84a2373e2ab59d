"""The fixed cache against transformers' growing one."""

from __future__ import annotations

import torch

from steerctl.engine.cache import FixedCache


def test_updates_append_and_select_repeats_rows() -> None:
    cache = FixedCache(layers=1, capacity=4)
    keys, values = torch.randn(2, 2, 3, 5, 8)[..., :2, :], torch.randn(2, 3, 2, 8)
    first = cache.update(keys[0], values, 0)
    torch.testing.assert_close(first[0], keys[0])
    cache.select(torch.tensor([1, 1, 0]))
    step = torch.randn(3, 3, 1, 8)
    grown_keys, grown_values = cache.update(step, step, 0)
    torch.testing.assert_close(grown_keys, torch.cat([keys[0][[1, 1, 0]], step], dim=2))
    torch.testing.assert_close(grown_values, torch.cat([values[[1, 1, 0]], step], dim=2))
    assert (cache.get_seq_length(), cache.layers[0].get_mask_sizes(1), cache.layers[0].get_max_length()) == (
        3,
        (4, 0),
        4,
    )
