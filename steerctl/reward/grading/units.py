r"""A quantity without the unit after it: `540~\mathrm{cm}`, `10 m/s^2`, `4.5 \times 10^{33}~\mathrm{erg}`.

What is a unit: text in `\text`, `\mathrm` and the like after a number; symbols of the SI and of trade after a space;
words of four letters or more after a number and a space ("12 people"). Letters that touch a number (`10m`) are factors.
"""

from __future__ import annotations

import re

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
TEXT = r"\\(?:text|textrm|textnormal|textbf|textit|mathrm|mathit|mathsf|mbox|hbox|rm|operatorname)"
SPACE = r"(?:\s|~|\\[ ,;:!]|\\quad)"
_FRACTION = r"(?:\d+ ?)?\\[dtc]?frac ?(?:\{[^{}]*\}|\d) ?(?:\{[^{}]*\}|\d)|\d+ ?/ ?\d+|\d+ \d+/\d+"
_SCIENTIFIC = rf"{NUMBER} ?(?:\\times|\\cdot|\*) ?10 ?\^ ?(?:\{{ ?[-+]?\d+ ?\}}|\d)|{NUMBER}[eE][-+]?\d+"
_QUANTITY = rf"[-+]?(?:{_SCIENTIFIC}|{_FRACTION}|{NUMBER})"
_EXPONENT = r"(?: ?\^ ?(?:\{ ?[-−]?\d ?\}|-?\d))?"
_BOXED = rf"(?:\\mu{SPACE}*|\^ ?\{{? ?\\circ ?\}}?{SPACE}*)?{TEXT} ?\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}{_EXPONENT}"
_JOINT = rf"{SPACE}*(?:/|\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|\\per)?{SPACE}*"
_AFTER = re.compile(rf"{SPACE}*(?P<unit>{_BOXED}(?:{_JOINT}{_BOXED})*){SPACE}*$")
_BARE = re.compile(rf"({_QUANTITY}){SPACE}+([A-Za-z][A-Za-z^{{}}\d/ .·-]*)")
_WORD = re.compile(r"[A-Za-z]+")
_MACRO = re.compile(rf"{TEXT}|\\[a-zA-Z]+")
_IS_QUANTITY = re.compile(_QUANTITY)
_TAIL = 120

_LENGTHS = "mm cm dm km nm in ft yd mi inch inches foot feet yard yards mile miles meter meters metre metres"
_WEIGHTS = "kg mg lb lbs oz ton tons gram grams mol kmol mmol"
_TIMES = "ms ns sec secs min mins hr hrs yr yrs day days second seconds minute minutes hour hours week weeks year years"
_OTHERS = (
    "mL ml cc gal Hz kHz MHz GHz kN kJ MJ eV keV MeV GeV erg ergs kW MW mW mV kV mA Pa kPa MPa atm bar rad deg rpm mph "
    "kph kmh kmph fps cal kcal dB ppm ohm ohms unit units degree degrees radian radians sq cu square cubic dollar "
    "dollars cent cents USD"
)
_SYMBOLS = frozenset(f"{_LENGTHS} {_WEIGHTS} {_TIMES} {_OTHERS}".split())
_LETTERS = frozenset("msghLlNJWVACKFTMR")
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "mod", "choose", "factorial", "ln", "lg"}
_AMOUNTS = {"dozen", "hundred", "thousand", "million", "billion", "trillion", "percent", "percentage", "pct"}
_WORDED = {"times", "plus", "minus", "over", "squared", "cubed", "the", "infinity", "alpha", "beta", "gamma", "theta"}
_LOGIC = {"and", "or", "if", "for", "where", "when", "with", "all", "is", "mod", "otherwise", "to", "not", "base"}
_NOT_UNITS = frozenset(_FUNCTIONS | _AMOUNTS | _WORDED | _LOGIC)
_CONSTANTS = frozenset({"e", "i", "j", "d", "pi"})


def without_unit(text: str) -> str:
    """The quantity alone; `text` itself where what follows may be mathematics, an amount (million) or a condition."""
    found = _AFTER.search(text, max(0, len(text) - _TAIL))
    if found:
        before, words = text[: found.start()], _words(_MACRO.sub(" ", found["unit"]))
        if words and _means_unit(words, anything=_IS_QUANTITY.fullmatch(before) is not None) and _ends_term(before):
            return before.rstrip()
        return text
    bare = _BARE.fullmatch(text) if len(text) <= _TAIL else None
    if bare and _bare_unit(bare.group(2)):
        return bare.group(1)
    return text


def _means_unit(words: list[str], *, anything: bool) -> bool:
    """After a number any words but some; after another formula only units that are known."""
    lowered = {word.lower() for word in words}
    if not lowered.isdisjoint(_NOT_UNITS) or not lowered.isdisjoint(_CONSTANTS):
        return False
    return anything or all(word in _SYMBOLS or word.lower() in _SYMBOLS for word in words)


def _ends_term(before: str) -> bool:
    """Something stands before the unit, and it is no operator that waits for an operand."""
    return bool(before) and (before[-1].isalnum() or before[-1] in ")]}!") and not before.endswith(("_", "^"))


def _bare_unit(after: str) -> bool:
    """Unit symbols with exponents and solidi, or plain words long enough not to be a product of letters."""
    words = _words(after)
    if any(character in after for character in "^{}/0123456789·"):
        known = _SYMBOLS | _LETTERS if "/" in after else _SYMBOLS
        return re.fullmatch(
            r"[A-Za-z. /·]+(?:\^?\{?-?\d\}?)?(?:[ /·]+[A-Za-z]+(?:\^?\{?-?\d\}?)?)*", after
        ) is not None and all(word in known for word in words)
    long = [word for word in words if word.rstrip(".") not in _SYMBOLS]
    plain = all(len(word) >= 2 and word.lower() not in _NOT_UNITS for word in long) and len(words) <= 5
    return plain and (not long or any(len(word) >= 4 for word in long))


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
