r"""One spelling for answers that differ only in typography.

Trailing full stops, units after a number (units.py), spaces and commas between digit groups, e-notation, mixed
numbers, program notation (notation.py). Every function is pure and is given at most 4,096 characters.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from steerctl.reward.grading.notation import as_latex, recurring
from steerctl.reward.grading.units import TEXT, without_unit

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
    "°": r"^\circ ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "∪": r"\cup ", "∩": r"\cap ",
    "±": r"\pm ", "∈": r"\in ", "⁄": "/", "\u2009": " ", "\u202f": " ", "\u00a0": " ", "∅": r"\emptyset ",
    "≈": r"\approx ", "∖": r"\setminus ", "ℝ": r"\mathbb{R} ", "⟨": r"\langle ", "⟩": r"\rangle ",
}  # fmt: skip
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_THOUSANDS = re.compile(r"(?<=\d)(?:,?\\!\s*|\\[,;: ]\s*|\{(?:,|\\,)\}\s*)(?=\d{3}(?!\d))")
_COMMAS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SPACES = re.compile(r"[-+]?\d{1,3}(?:[ ~]\d{3})+(?:\.\d+)?")
_LEAD = re.compile(r"(?:=|\\approx|\\simeq|\\sim|\\therefore|\\implies|\\Rightarrow)(?![a-zA-Z])\s*")
_LABEL = re.compile(rf"(?i)(?:{TEXT}\s*\{{)?\s*(?:final )?answer(?: is)?\s*[:=]\s*\}}?\s*")
_MIXED = re.compile(r"([-+]?)(\d+)\s+(\d+)/(\d+)")
_FLIPPED = re.compile(rf"([-+]?{_NUMBER})\s*=\s*([A-Za-z])")
_E_NOTATION = re.compile(rf"(?<![A-Za-z\d.\\])({_NUMBER})[eE]([-+]?\d+)(?![\d.])")
_POWER = re.compile(rf"([-+]?)(?:({_NUMBER})\s*(?:\\times|\\cdot|\*)\s*)?10\s*\^\s*(?:\{{\s*([-+]?\d+)\s*\}}|(\d))")
_PERCENT = re.compile(rf"\s*(?:\\?%|{TEXT}\s*\{{\s*(?:percent|percentage|pct)\s*\}}|percentage|percent|pct)\s*")
_EMPTY_SET = re.compile(r"\\varnothing(?![a-zA-Z])|^\\\{\s*\\\}$")
_END_MARKS = ("\\quad", "\\,", "\\;", "\\:", "\\!", "~", ".", "\\", " ", "\n", "\t")


def normalise(answer: str) -> str:
    r"""The answer with typography removed and mathematics kept: `$1{,}234~\mathrm{cm}$.` becomes `1234`."""
    text = _symbols(answer)
    text = re.sub(r"(?<!\\)\\[()\[\]]|\\?\$|\\displaystyle(?![a-zA-Z])", "", text)
    text = recurring(_THOUSANDS.sub("", text).strip())
    text = _without_lead(_without_end_marks(text))
    text = _without_end_marks(without_unit(text))
    if _COMMAS.fullmatch(text) or _SPACES.fullmatch(text):
        text = re.sub("[, ~]", "", text)
    text = _E_NOTATION.sub(r"\1 \\times 10^{\2}", _mixed(text))
    text = _EMPTY_SET.sub(r"\\emptyset", as_latex(text))
    flipped = _FLIPPED.fullmatch(text)
    return f"{flipped.group(2)}={flipped.group(1)}" if flipped else text


def canonical(normalised: str) -> str:
    r"""For comparing spellings: no spaces (except between digits), `\left`, `\right`, `\text`; one kind of `\frac`."""
    text = re.sub(r"\\(?:left|right|bigl|bigr|big|Big)(?![a-zA-Z])\.?", "", normalised)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(TEXT + r"\s*\{([^{}]*)\}", r"\1", text)
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


def _without_end_marks(text: str) -> str:
    r"""Without trailing full stops, spaces and stray backslashes; `\right.` keeps its dot."""
    while text and not text.endswith("\\right."):
        mark = next((mark for mark in _END_MARKS if text.endswith(mark)), None)
        if mark is None:
            break
        text = text[: -len(mark)]
    return text


def _without_lead(text: str) -> str:
    """Without "Answer:", a relation sign that has no left side, a plus sign."""
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    return text[1:].lstrip() if text.startswith("+") else text


def _mixed(text: str) -> str:
    """`1 1/2` as one fraction."""
    match = _MIXED.fullmatch(text)
    if not match or len(text) > 60:
        return text
    sign, whole, top, bottom = match.groups()
    return rf"{sign.strip('+')}\frac{{{int(whole) * int(bottom) + int(top)}}}{{{bottom}}}"
