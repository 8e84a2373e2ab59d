"""DAPO's soft penalty, by hand."""

import pytest

from steerctl.errors import SpecError
from steerctl.reward.overlong import Overlong


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(1, 0.0), (16384, 0.0), (16385, -1 / 4096), (18432, -0.5), (20480, -1.0), (20481, -1.0)],
)
def test_the_published_setting(length, penalty):
    assert Overlong(cache_tokens=4096).penalty(length, 20480) == pytest.approx(penalty, abs=0)


def test_the_factor_scales_and_no_penalty_is_plus_zero():
    assert Overlong(cache_tokens=10, factor=0.3).penalty(20, 20) == pytest.approx(-0.3)
    assert str(Overlong(cache_tokens=10).penalty(5, 20)) == "0.0"


def test_a_cache_beyond_the_limit_is_an_error():
    assert Overlong(cache_tokens=48).penalty(24, 48) == -0.5
    with pytest.raises(SpecError, match="cache_tokens: 49 is more than"):
        Overlong(cache_tokens=49).penalty(1, 48)
