r"""Reference answers rewritten: in ways that keep their value, and in ways that change it.

Each function is given a reference answer and returns {name of the variant: text for inside the box}; a variant that
makes no sense for this answer is absent. Which reference answers a variant applies to is decided by their form alone.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

INTEGER = re.compile(r"-?\d+")
DECIMAL = re.compile(r"-?\d*\.\d+")
POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([-+]?\d+)")
FRACTION = re.compile(r"(-?)\\frac\{(\d+)\}\{(\d+)\}")
PAIR = re.compile(r"([(\[])([^()\[\],]+),([^()\[\],]+)([)\]])")
OTHER_BRACKET = {"(": "[", "[": "(", ")": "]", "]": ")"}


def equal(gold: str) -> dict[str, str]:
    """The same answer in other words."""
    made = {
        "as it is": gold,
        "full stop": f"{gold}.",
        "spaces": f" {gold} ",
        "dollars": f"${gold}$",
        "thin space after": f"{gold}\\,",
        "display style": f"\\displaystyle {gold}",
        "new lines": f"\n{gold}\n",
    }
    if "frac" in gold:
        made["large fraction"] = gold.replace("\\frac", "\\dfrac")
        made["small fraction"] = gold.replace("\\frac", "\\tfrac")
    if "(" in gold and "\\left" not in gold:
        made["left and right"] = gold.replace("(", "\\left(").replace(")", "\\right)")
    if "-" in gold:
        made["unicode minus"] = gold.replace("-", "−")
    if "," in gold:
        made["spaces after commas"] = re.sub(r",\s*", ", ", gold)
        made["thin spaces after commas"] = re.sub(r",\s*", ",\\\\ ", gold)
    if INTEGER.fullmatch(gold):
        made |= _of_integer(gold)
    elif DECIMAL.fullmatch(gold):
        made |= _of_decimal(gold)
    elif FRACTION.fullmatch(gold):
        made |= _of_fraction(gold)
    elif POWER.fullmatch(gold):
        made |= _of_power(gold)
    return made


def changed(gold: str) -> dict[str, str]:
    """Another answer that looks like it."""
    made: dict[str, str] = {}
    if INTEGER.fullmatch(gold):
        n = int(gold)
        made |= {"n + 1": f"{n + 1}", "n - 1": f"{n - 1}", "n.5": f"{gold}.5", "10 n + 1": f"{gold}1"}
        if n:
            made |= {"minus": f"{-n}", "percent off": str(Decimal(n) * Decimal("1.01")), "ten times": f"{gold}0"}
    elif DECIMAL.fullmatch(gold) and Decimal(gold):
        made |= {"percent off": str(Decimal(gold) * Decimal("1.01")), "minus": str(-Decimal(gold))}
    elif power := POWER.fullmatch(gold):
        factor, exponent = power.groups()
        more = Decimal(factor) * Decimal("1.01")
        made |= {
            "percent off": f"{more} \\times 10^{{{int(exponent)}}}",
            "other exponent": f"{factor} \\times 10^{{{int(exponent) + 1}}}",
            "without power": factor if int(exponent) else f"{factor}1",
            "percent off, e": f"{more}e{exponent}",
        }
    elif fraction := FRACTION.fullmatch(gold):
        sign, top, bottom = fraction.groups()
        value = Fraction(int(top), int(bottom)) * (-1 if sign else 1)
        made["numerator + 1"] = f"{sign}\\frac{{{int(top) + 1}}}{{{bottom}}}"
        made["minus"] = f"{'' if sign else '-'}\\frac{{{top}}}{{{bottom}}}"
        made["percent off"] = f"{float(value) * 1.01:.8f}"
        if top != bottom:
            made["upside down"] = f"{sign}\\frac{{{bottom}}}{{{top}}}"
    elif pair := PAIR.fullmatch(gold.replace("\\left", "").replace("\\right", "")):
        left, one, two, right = pair.groups()
        if one.strip() != two.strip():
            made["swapped pair"] = f"{left}{two},{one}{right}"
        made["other left bracket"] = f"{OTHER_BRACKET[left]}{one},{two}{right}"
        made["other right bracket"] = f"{left}{one},{two}{OTHER_BRACKET[right]}"
        if "infty" not in two:
            made["shifted"] = f"{left}{one},{two}+1{right}"
    return made


def _of_integer(gold: str) -> dict[str, str]:
    n = int(gold)
    sign, digits = ("-", gold[1:]) if n < 0 else ("", gold)
    made = {
        "unit": f"{gold}~\\mathrm{{cm}}",
        "unit in text": f"{gold}\\text{{ cm}}",
        "unit squared": f"{gold}\\text{{ cm}}^2",
        "unit after thin space": f"{gold}\\,\\text{{cm}}",
        "unit word": f"{gold} units",
        "unit in mbox": f"{gold}\\mbox{{ inches}}",
        "speed": f"{gold}~\\mathrm{{km/h}}",
        "dollar sign": f"\\${gold}",
        "x =": f"x={gold}",
        "n = ": f"n = {gold}",
        "degrees": f"{gold}^\\circ",
        "degrees in braces": f"{gold}^{{\\circ}}",
        "degree sign": f"{gold}°",
        ".0": f"{gold}.0",
        ".00": f"{gold}.00",
        "in text": f"\\text{{{gold}}}",
        "bold": f"\\mathbf{{{gold}}}",
        "fraction": f"\\frac{{{3 * n}}}{{3}}",
    }
    if n > 0:
        made["plus"] = f"+{gold}"
        made["leading zero"] = f"0{gold}"
    if len(digits) > 3:
        groups = f"{abs(n):,}"
        for name, mark in {
            "comma": ",", "braced comma": "{,}", "thin space": "\\,", "comma and back": ",\\!", "medium space": "\\;",
            "space": " ", "no-break space": "\u00a0", "narrow space": "\u202f", "tie": "~", "math space": "\\ ",
        }.items():  # fmt: skip
            made[f"thousands: {name}"] = sign + groups.replace(",", mark)
    return made


def _of_decimal(gold: str) -> dict[str, str]:
    exact = Fraction(gold)
    return {
        "unit": f"{gold}~\\mathrm{{m/s}}",
        "unit in text": f"{gold}\\text{{ cm}}",
        "x =": f"x = {gold}",
        "trailing zero": f"{gold}0",
        "as a fraction": f"\\frac{{{exact.numerator}}}{{{exact.denominator}}}",
        "in powers": f"{Decimal(gold) * 100} \\times 10^{{-2}}",
    }


def _of_fraction(gold: str) -> dict[str, str]:
    match = FRACTION.fullmatch(gold)
    assert match is not None
    sign, top, bottom = match[1], int(match[2]), int(match[3])
    made = {
        "unreduced": f"{sign}\\frac{{{3 * top}}}{{{3 * bottom}}}",
        "solidus": f"{sign}{top}/{bottom}",
        "unit": f"{gold}\\text{{ cm}}",
        "x =": f"x = {gold}",
        "minus inside": f"\\frac{{{sign}{top}}}{{{bottom}}}",
        "six decimals": f"{sign}{top / bottom:.6f}",
        "ten decimals": f"{sign}{top / bottom:.10f}",
    }
    if top < 10 and bottom < 10:
        made["no braces"] = f"{sign}\\frac{top}{bottom}"
    if top > bottom > 1:
        whole, rest = divmod(top, bottom)
        made["mixed"] = f"{sign}{whole}\\frac{{{rest}}}{{{bottom}}}"
        made["mixed with solidus"] = f"{sign}{whole} {rest}/{bottom}"
    return made


def _of_power(gold: str) -> dict[str, str]:
    match = POWER.fullmatch(gold)
    assert match is not None
    factor, exponent = match[1], int(match[2])
    made = {
        "times": f"{factor} \\times 10^{{{exponent}}}",
        "times, close": f"{factor}\\times10^{{{exponent}}}",
        "dot": f"{factor} \\cdot 10^{{{exponent}}}",
        "unicode times": f"{factor} × 10^{{{exponent}}}",
        "star": f"{factor}*10^{{{exponent}}}",
        "brackets": f"({factor}) \\times (10^{{{exponent}}})",
        "capital E": f"{factor}E{exponent}",
        "shifted": f"{Decimal(factor) * 10} \\times 10^{{{exponent - 1}}}",
        "unit": f"{factor} \\times 10^{{{exponent}}}~\\mathrm{{erg}}",
        "unit in text": f"{factor} \\times 10^{{{exponent}}} \\text{{ cm}}^{{-3}}",
        "about": f"\\approx {factor} \\times 10^{{{exponent}}}",
        "x =": f"T = {factor} \\times 10^{{{exponent}}}",
        "written out": f"{Decimal(gold):f}",
    }
    if exponent >= 0:
        made["plus in exponent"] = f"{factor}e+{exponent}"
    if 0 <= exponent < 10:
        made["no braces"] = f"{factor} \\times 10^{exponent}"
    return made
