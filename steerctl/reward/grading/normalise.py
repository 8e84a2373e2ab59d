r"""One spelling for answers that differ only in typography.

Written from observed disagreements between graders and reference answers: trailing full stops, unit macros after a
number (`540~\mathrm{cm}`), thin spaces between digit groups (`1\,234`), e-notation, mixed numbers. Every function is
pure and is given at most 4,096 characters.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
    "°": r"^\circ ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "∪": r"\cup ", "∩": r"\cap ",
    "±": r"\pm ", "∈": r"\in ", "⁄": "/", "\u2009": " ", "\u202f": " ",
}  # fmt: skip
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_QUANTITY = rf"[-+]?(?:{_NUMBER}|(?:\d+ ?)?\\[dt]?frac ?(?:\{{[^{{}}]*\}}|\d) ?(?:\{{[^{{}}]*\}}|\d))"
_TEXT = r"\\(?:text|textrm|textnormal|textbf|mathrm|mbox|rm|operatorname)"
_THOUSANDS = re.compile(r"(?<=\d)(?:,?\\!\s*|\\[,;: ]\s*|\{,\}\s*)(?=\d{3}(?!\d))")
_COMMAS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_UNIT = re.compile(rf"({_QUANTITY})(?:\s|~|\\[ ,;:])*{_TEXT}\s*\{{([^{{}}]*)\}}(?:\s*\^\s*\{{?-?\d\}}?)?")
_WORDS = re.compile(rf"({_QUANTITY})\s+([A-Za-z]{{3,}}(?: [A-Za-z]{{3,}}){{0,3}})")
_MIXED = re.compile(r"([-+]?)(\d+)\s+(\d+)/(\d+)")
_FLIPPED = re.compile(rf"([-+]?{_NUMBER})\s*=\s*([A-Za-z])")
_E_NOTATION = re.compile(rf"(?<![A-Za-z\d.\\])({_NUMBER})[eE]([-+]?\d+)(?![\d.])")
_POWER = re.compile(rf"([-+]?)(?:({_NUMBER})\s*(?:\\times|\\cdot|\*)\s*)?10\s*\^\s*(?:\{{\s*([-+]?\d+)\s*\}}|(\d))")
_PERCENT = re.compile(rf"\s*(?:\\?%|{_TEXT}\s*\{{\s*(?:percent|percentage|pct)\s*\}}|percentage|percent|pct)\s*")
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "mod", "and", "choose", "factorial"}
_AMOUNTS = {"dozen", "hundred", "thousand", "million", "billion", "trillion", "percent", "percentage", "pct"}
_WORDED = {"times", "plus", "minus", "over", "squared", "cubed", "the", "infinity", "alpha", "beta", "gamma", "theta"}
_NOT_UNITS = frozenset(_FUNCTIONS | _AMOUNTS | _WORDED)
_NUMBER_MACROS = frozenset({"e", "i", "j", "d", "pi", "ln", "log", *_NOT_UNITS})


def normalise(answer: str) -> str:
    r"""The answer with typography removed and mathematics kept: `$1{,}234~\mathrm{cm}$.` becomes `1234`."""
    text = _symbols(answer)
    text = re.sub(r"(?<!\\)\\[()\[\]]|\\?\$|\\displaystyle(?![a-zA-Z])", "", text)
    text = _THOUSANDS.sub("", text).strip()
    text = _without_end_mark(text)
    if text.startswith("+"):
        text = text[1:].lstrip()
    if _COMMAS.fullmatch(text):
        text = text.replace(",", "")
    text = _E_NOTATION.sub(r"\1 \\times 10^{\2}", _mixed(_without_unit(text)))
    flipped = _FLIPPED.fullmatch(text)
    return f"{flipped.group(2)}={flipped.group(1)}" if flipped else text


def canonical(normalised: str) -> str:
    r"""For comparing spellings: no spaces (except between digits), `\left`, `\right`, `\text`; one kind of `\frac`."""
    text = re.sub(r"\\(?:left|right|bigl|bigr|big|Big)(?![a-zA-Z])\.?", "", normalised)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(_TEXT + r"\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)", "", text)
    text = re.sub(r"(?<=\d)(?:\s|~|\\[ ,;:])+(?=\d)", "\0", text)
    return re.sub(r"\s|~|\\[ ,;:!]|\\quad", "", text).replace("\0", " ")


def number(normalised: str) -> Decimal | None:
    r"""The value of a plain integer or decimal, or of `a \times 10^{b}`; None for anything else."""
    text = normalised.strip()
    power = _POWER.fullmatch(text)
    if power:
        sign, factor, exponent, digit = power.groups()
        text = f"{sign}{factor or 1}e{exponent or digit}"
    elif not re.fullmatch(rf"[-+]?(?:{_NUMBER}|\d+\.)", text, re.ASCII):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return None


def without_percent(normalised: str) -> str | None:
    """What stands before a final per cent sign or word; None if there is none."""
    match = list(_PERCENT.finditer(normalised[-40:]))
    if not match or match[-1].end() != len(normalised[-40:]):
        return None
    return normalised[: len(normalised) - (match[-1].end() - match[-1].start())].strip() or None


def _symbols(text: str) -> str:
    """Unicode mathematics as LaTeX; superscripts first, since NFKC would make x² into x2."""
    if text.isascii():
        return text
    text = re.sub("[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^{" + found.group().translate(_SUPERSCRIPT) + "}", text)
    text = re.sub(r"√\s*(\d+|[A-Za-z]|\([^()]*\))", r"\\sqrt{\1}", text)
    for sign, latex in _SYMBOLS.items():
        text = text.replace(sign, latex)
    text = unicodedata.normalize("NFKC", text)
    return text.replace("⁄", "/")


def _without_end_mark(text: str) -> str:
    r"""Without trailing full stops and stray backslashes; `\right.` keeps its dot."""
    while text and text[-1] in ".\\ \n\t":
        if text.endswith("\\right."):
            break
        text = text[:-1]
    return text


def _without_unit(text: str) -> str:
    """A quantity without the unit after it. A letter that is a number (e, i) and words of amount stay."""
    match = _UNIT.fullmatch(text)
    if match and match.group(2).strip() and _NUMBER_MACROS.isdisjoint(match.group(2).lower().split()):
        return match.group(1)
    match = _WORDS.fullmatch(text)
    if match and _NOT_UNITS.isdisjoint(match.group(2).lower().split()):
        return match.group(1)
    return text


def _mixed(text: str) -> str:
    """`1 1/2` as one fraction."""
    match = _MIXED.fullmatch(text)
    if not match or len(text) > 60:
        return text
    sign, whole, top, bottom = match.groups()
    return rf"{sign.strip('+')}\frac{{{int(whole) * int(bottom) + int(top)}}}{{{bottom}}}"
