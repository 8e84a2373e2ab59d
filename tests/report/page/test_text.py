"""Numbers and names as text."""

import math

from steerctl.evaluation.intervals import mean_interval
from steerctl.report.page.text import bounds, count, decimals, duration, fixed, in_unit, large, p_text, safe


def test_numbers():
    assert fixed(-0.0312, 3, signed=True) == "−0.031"
    assert fixed(0.5, 2, signed=True) == "+0.50"
    assert fixed(None, 3) == fixed(math.nan, 3) == "–"
    assert [decimals([value]) for value in (0.3, 24.0, 1234.0, 0.004, 0.0)] == [3, 1, 0, 5, 3]
    assert bounds(mean_interval([0.1, 0.2, 0.3]), 2) == "[−0.05, 0.45]"
    assert bounds(mean_interval([0.1]), 2) == bounds(None, 2) == ""
    assert [p_text(value) for value in (0.0004, 0.0312, 1.0, None)] == ["<0.001", "0.031", "1.000", "–"]
    assert (count(1, "seed"), count(5, "seed"), large(12345.6)) == ("1 seed", "5 seeds", "12,346")
    assert [duration(value) for value in (48, 750, 11520, None)] == ["48 s", "12.5 min", "3.2 h", "–"]
    assert (in_unit("nats"), in_unit("1"), in_unit("")) == (" (nats)", "", "")


def test_text_from_runs_is_escaped_and_hides_nothing():
    assert safe('<b a="1">&') == "&lt;b a=&quot;1&quot;&gt;&amp;"
    assert "\u202e" not in safe("\u202eabc")
    assert "202E" in safe("\u202eabc")
