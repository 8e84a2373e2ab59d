"""Units go, factors and amounts stay."""

import pytest

from steerctl.reward.grading.units import without_unit


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("540~\\mathrm{cm}", "540"),
        ("540\\,\\text{cm}^2", "540"),
        ("9.8 \\mathrm{~m} / \\mathrm{s}^{2}", "9.8"),
        ("3\\,\\mathrm{kg}\\cdot\\mathrm{m}/\\mathrm{s}^2", "3"),
        ("25^\\circ\\text{C}", "25"),
        ("5~\\mu\\mathrm{m}", "5"),
        ("4.5 \\times 10^{33}~\\mathrm{erg}", "4.5 \\times 10^{33}"),
        ("\\frac{3}{4}\\text{ cup}", "\\frac{3}{4}"),
        ("1,234\\text{ people}", "1,234"),
        ("2\\sqrt{3}\\text{ cm}", "2\\sqrt{3}"),
        ("\\frac{5\\pi}{2}~\\mathrm{rad}", "\\frac{5\\pi}{2}"),
        ("10 cm^2", "10"),
        ("10 cm", "10"),
        ("60 km/h", "60"),
        ("9.8 m/s^2", "9.8"),
        ("12 square units", "12"),
        ("7 days", "7"),
        ("3 red marbles", "3"),
        ("10cm", "10cm"),
        ("10 m", "10 m"),
        ("3 xyz", "3 xyz"),
        ("2\\mathrm{i}", "2\\mathrm{i}"),
        ("3\\mathrm{e}", "3\\mathrm{e}"),
        ("5\\text{ million}", "5\\text{ million}"),
        ("5 million", "5 million"),
        ("x \\text{ is even}", "x \\text{ is even}"),
        ("x^2 \\text{ if } x>0", "x^2 \\text{ if } x>0"),
        ("y = \\mathrm{kg}", "y = \\mathrm{kg}"),
        ("v_\\text{min}", "v_\\text{min}"),
        ("\\text{cm}", "\\text{cm}"),
        ("\\text{Mary}", "\\text{Mary}"),
        ("4 \\text{ or } 5", "4 \\text{ or } 5"),
    ],
)
def test_without_unit(text, quantity):
    assert without_unit(text) == quantity
