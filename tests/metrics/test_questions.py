"""pass@k against counting every draw."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest

from steerctl.metrics.questions import pass_at


@pytest.mark.parametrize(("samples", "right"), [(1, 0), (1, 1), (4, 0), (4, 1), (4, 3), (6, 2), (6, 6)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(samples: int, right: int) -> None:
    answers = [True] * right + [False] * (samples - right)
    for k in range(1, samples + 1):
        draws = list(combinations(answers, k))
        assert pass_at(k, right, samples) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_samples_is_exact() -> None:
    assert pass_at(100, 3, 1000) == pytest.approx(1 - comb(997, 100) / comb(1000, 100), rel=1e-12)


def test_more_draws_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 5 samples"):
        pass_at(5, 1, 4)
