"""Program notation, degrees in functions, recurring decimals."""

import pytest

from steerctl.reward.grading.notation import as_latex, recurring


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("2**(1/4)", "2^{1/4}"),
        ("-1 + sqrt(3)", "-1 + \\sqrt{3}"),
        ("(3*sqrt(5))/7", "(3 \\cdot \\sqrt{5})/7"),
        ("sqrt(2 + sqrt(3))", "\\sqrt{2 + \\sqrt{3}}"),
        ("exp(-x)", "e^{-x}"),
        ("sin(x)**2", "\\sin(x)^2"),
        ("np.arcsin(10/13)", "\\arcsin(10/13)"),
        ("pi/2", "\\pi /2"),
        ("(-oo, 3)", "(-\\infty , 3)"),
        ("x^*", "x^*"),
        ("f(x)", "f(x)"),
        ("\\sqrt{2}", "\\sqrt{2}"),
        ("\\sin(90^{\\circ}-x)", "\\sin((\\frac{90 \\pi}{180})-x)"),
        ("36^\\circ", "36^\\circ"),
        ("0.\\overline{3}", "\\frac{3}{9}"),
        ("2.1\\overline{6}", "\\frac{195}{90}"),
        ("sqrt(2", "sqrt(2"),
    ],
)
def test_as_latex(text, latex):
    assert as_latex(text) == latex


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("0.333...", "\\frac{3}{9}"),
        ("0.1666\\ldots", "\\frac{15}{90}"),
        ("1.4142...", "1.4142..."),
        ("1,2,...", "1,2,..."),
    ],
)
def test_an_ellipsis_after_repeated_digits(text, fraction):
    assert recurring(text) == fraction
